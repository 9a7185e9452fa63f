"""Load the text encoder of a base: HiDream's four networks, or the mini model's MiniLM.

The networks are transformers' classes, built without memory and filled by `load_state`. Llama has no `lm_head` here,
because the embeddings do not need it. transformers is imported only when a model needs it; the mini model does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from onbrand.errors import NetworkConfigInvalid, TensorsMismatch, TokenizerInvalid
from onbrand.hidream.models import Model, Precision
from onbrand.hidream.network.int8 import quantize_linears
from onbrand.hidream.text.encode import TextEncoder, make_prompt_tokenizer
from onbrand.hidream.text.encoders import EncoderPart, HiDreamTextEncoder
from onbrand.hidream.weights.load_state import load_state
from onbrand.hidream.weights.prepared import load_prepared
from onbrand.hidream.weights.stream import stream_tensors
from onbrand.packs.base import Base
from onbrand.storage.files import REMEDY, Folder, fetch

CLIP_LIMIT = 218  # tokens: diffusers, pipeline_hidream_image.py, _get_clip_prompt_embeds

Stream = Iterable[tuple[str, Tensor]]


def load_text_encoder(
    base: Base,
    model: Model,
    *,
    token_limit: int,
    precision: Precision,
    device: torch.device,
    dtype: torch.dtype | None = None,
    onload_device: torch.device | None = None,
    prepared_folder: Folder | None = None,
    directory: Path | None = None,
    on_bytes: Callable[[int], None] = lambda _count: None,
) -> TextEncoder:
    """Load the text encoder of a base; its weights are streamed to `device`. `on_bytes` as in `stream_tensors`.

    With `onload_device`, each network is moved there while it encodes. `prepared_folder` may contain prepared T5 and
    Llama; in 8 bit they have half the bytes to read.

    `dtype` is the type of products, embeddings and all weights that are not quantized; by default float32 at `FLOAT32`,
    otherwise bfloat16. At `INT8` the matrices of T5 and Llama are 8-bit; the CLIPs are too small to be worth it. If the
    base is in the object store, `directory` keeps the tokenizers for the next start.

    Raises:
        WeightsMissing: a file does not exist.
        FileDamaged: a file differs from the manifest or cannot be read.
        NetworkConfigInvalid, TokenizerInvalid, TensorsMismatch: a file is not what the model needs.
        PreparedWeightsDamaged: prepared weights are damaged.
    """
    dtype = dtype or (torch.float32 if precision == Precision.FLOAT32 else torch.bfloat16)
    identity = f"{base.manifest.model} {base.id} {precision} {dtype}"
    if model.text == "minilm":
        from onbrand.hidream.text.minilm import load_minilm

        return load_minilm(
            base,
            identity=identity,
            token_limit=token_limit,
            slots=model.text_slots,
            device=device,
            on_bytes=on_bytes,
        )
    loader = _Loader(base, token_limit, precision, dtype, device, prepared_folder, directory, on_bytes)
    clips = (loader.clip("text_encoder", "tokenizer"), loader.clip("text_encoder_2", "tokenizer_2"))
    return HiDreamTextEncoder(identity, token_limit, clips, loader.t5(), loader.llama(), onload_device)


@dataclass(frozen=True)
class _Loader:
    """Loads the four encoders, one after the other."""

    base: Base
    token_limit: int
    precision: Precision
    dtype: torch.dtype
    device: torch.device
    prepared_folder: Folder | None
    directory: Path | None
    on_bytes: Callable[[int], None]

    def clip(self, folder: str, tokenizer_folder: str) -> EncoderPart:
        from transformers.models.clip.modeling_clip import CLIPTextConfig, CLIPTextModelWithProjection
        from transformers.models.clip.tokenization_clip import CLIPTokenizer

        limit = min(self.token_limit, CLIP_LIMIT)
        network = self._empty(folder, CLIPTextConfig, CLIPTextModelWithProjection)
        positions = network.config.max_position_embeddings
        if positions < limit:
            raise NetworkConfigInvalid(
                f"The CLIP in {folder} reads {positions} tokens and {limit} are needed: HiDream has long-context CLIPs."
            )
        network.to_empty(device=self.device)
        # This buffer is not among the weights, so after `to_empty` its content is undefined.
        network.text_model.embeddings.position_ids = torch.arange(positions, device=self.device).expand(1, -1)
        # Older weight files have the buffer as a tensor too.
        load_state(network, self._tensors(folder), is_ignored=lambda name: name == "text_model.embeddings.position_ids")
        return self._part(tokenizer_folder, CLIPTokenizer, network, CLIP_LIMIT)

    def t5(self) -> EncoderPart:
        from transformers.models.t5.modeling_t5 import T5Config, T5EncoderModel
        from transformers.models.t5.tokenization_t5 import T5Tokenizer

        folder = "text_encoder_3"
        network = self._empty(folder, T5Config, T5EncoderModel).encoder
        if self.precision == Precision.INT8:
            quantize_linears(network, is_excluded=lambda _: False)
        network.to_empty(device=self.device)
        load_state(network, self._prepared(folder) or t5_names(self._tensors(folder)))
        return self._part("tokenizer_3", T5Tokenizer, network)

    def llama(self) -> EncoderPart:
        from transformers.models.llama.modeling_llama import LlamaConfig, LlamaModel, LlamaRotaryEmbedding
        from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

        folder = "text_encoder_4"
        network = self._empty(folder, LlamaConfig, LlamaModel)
        if self.precision == Precision.INT8:
            quantize_linears(network, is_excluded=lambda _: False)
        network.to_empty(device=self.device)
        # The frequencies are not among the weights, so after `to_empty` their content is undefined.
        network.rotary_emb = LlamaRotaryEmbedding(network.config).to(self.device)
        load_state(network, self._prepared(folder) or llama_names(self._tensors(folder)))
        return self._part("tokenizer_4", PreTrainedTokenizerFast, network, pads_with_eos=True)

    def _empty(self, folder: str, config_class: Any, network_class: Any) -> Any:
        """Build the network on the meta device, in evaluation mode."""
        from huggingface_hub.errors import StrictDataclassError

        document = self.base.read(f"{folder}/config.json")
        try:
            config = config_class.from_dict(json.loads(document))
            with torch.device("meta"):
                network = network_class(config)
        except (StrictDataclassError, TypeError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
            raise NetworkConfigInvalid(
                f"The file {folder}/config.json in {self.base.folder} is not a {network_class.__name__}'s: {REMEDY}."
            ) from error
        nn.Module.to(network, self.dtype)
        return network.requires_grad_(False).eval()

    def _prepared(self, folder: str) -> Stream | None:
        """The network's prepared weights, if there are any."""
        if self.prepared_folder is None:
            return None
        prepared = load_prepared(self.prepared_folder, self.base.id, folder, self.precision)
        return None if prepared is None else prepared.tensors(on_bytes=self.on_bytes)

    def _tensors(self, folder: str) -> Stream:
        return stream_tensors(self.base.folder, self.base.within(folder), on_bytes=self.on_bytes)

    def _part(
        self, folder: str, tokenizer_class: Any, network: Any, most: int | None = None, *, pads_with_eos: bool = False
    ) -> EncoderPart:
        with self._small_files(folder) as directory:
            try:
                tokenizer = tokenizer_class.from_pretrained(directory, local_files_only=True)
            # The tokenizers library raises plain `Exception`.
            except Exception as error:
                raise TokenizerInvalid(
                    f"The tokenizer in {folder} of {self.base.folder} can't be used: {REMEDY}."
                ) from error
        limit = min(self.token_limit, most or tokenizer.model_max_length)
        return EncoderPart(
            make_prompt_tokenizer(tokenizer.backend_tokenizer, limit),
            tokenizer.eos_token_id if pads_with_eos else tokenizer.pad_token_id,
            tokenizer.padding_side == "left",
            network,
        )

    @contextmanager
    def _small_files(self, folder: str) -> Iterator[Path]:
        """Copy the verified files of one folder into a directory, and yield the directory."""
        with TemporaryDirectory(prefix="onbrand-") as temporary:
            # One directory for each base, because from_pretrained would also read files of another base.
            destination = (self.directory or Path(temporary)) / self.base.id
            fetch(self.base.folder, self.base.within(folder), destination)
            yield destination / folder


def t5_names(stream: Stream) -> Iterator[tuple[str, Tensor]]:
    """Rename the tensors of a T5 file to the encoder's own names.

    The embedding that encoder and decoder share may have either of two names, or be there under both.

    Raises:
        TensorsMismatch: the two differ, or a tensor is not the encoder's.
    """
    shared: Tensor | None = None
    for name, tensor in stream:
        if name not in ("shared.weight", "encoder.embed_tokens.weight"):
            if not name.startswith("encoder."):
                raise TensorsMismatch(f"T5's weights have {name[:200]!r}, which its encoder does not have: {REMEDY}.")
            yield name.removeprefix("encoder."), tensor
        elif shared is None:
            shared = tensor
            yield "embed_tokens.weight", tensor
        elif not torch.equal(shared, tensor):
            raise TensorsMismatch(f"T5's tensors shared.weight and encoder.embed_tokens.weight differ: {REMEDY}.")


def llama_names(stream: Stream) -> Iterator[tuple[str, Tensor]]:
    """Rename the tensors of a Llama file to the names of `LlamaModel`.

    The file may be of `LlamaModel` or of `LlamaForCausalLM`, which also has an `lm_head`.

    Raises:
        TensorsMismatch: the file is a mixture of both.
    """
    spellings: set[bool] = set()
    for name, tensor in stream:
        is_causal = name == "lm_head.weight" or name.startswith("model.")
        spellings.add(is_causal)
        if len(spellings) > 1:
            raise TensorsMismatch(f"Llama's tensors are named in two ways, {name[:200]} for one: {REMEDY}.")
        if name != "lm_head.weight":
            yield name.removeprefix("model."), tensor
