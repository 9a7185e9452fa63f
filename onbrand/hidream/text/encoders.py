"""HiDream's four text encoders: two long-context CLIPs, T5 and Llama, used as `HiDreamImagePipeline` does.

The networks are transformers' own, built without memory and filled by `fill`; Llama has no `lm_head`, which nothing
here needs. Where a text is too long for one of them is the business of `encode`. transformers is imported when a model
that needs it is loaded: the mini model doesn't.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from onbrand.errors import NetworkConfigInvalid, TensorsMismatch, TokenizerInvalid
from onbrand.hidream.models import Model, Precision
from onbrand.hidream.network.int8 import hold_as_int8
from onbrand.hidream.text.encode import Embeddings, Encoded, PromptTokenizer, TextEncoder, reader, truncate_prompt
from onbrand.hidream.weights.load_state import fill
from onbrand.hidream.weights.prequantized import load_artefact
from onbrand.hidream.weights.stream import tensors
from onbrand.packs.base import Base
from onbrand.storage.files import REMEDY, Folder, fetch

CLIP_LIMIT = 218  # tokens: diffusers, pipeline_hidream_image.py, _get_clip_prompt_embeds

Stream = Iterable[tuple[str, Tensor]]


@dataclass(frozen=True)
class Part:
    """One of the four."""

    reader: PromptTokenizer
    pad_id: int
    is_padded_left: bool
    network: Any

    def batch(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """(1, limit) token ids, padded, and (1, limit) 1 where there is text, on the network's device."""
        count = self.reader.limit - len(ids)
        padding, mask = [self.pad_id] * count, [1] * len(ids)
        rows = ([*padding, *ids], [0] * count + mask) if self.is_padded_left else ([*ids, *padding], mask + [0] * count)
        device = next(self.network.parameters()).device
        return torch.tensor([rows[0]], device=device), torch.tensor([rows[1]], device=device)


@dataclass(frozen=True)
class FourEncoders:
    """HiDream's `TextEncoder`."""

    identity: str
    token_limit: int
    clips: tuple[Part, Part]
    t5: Part
    llama: Part
    visits: torch.device | None = None  # where each goes to read, one after the other; None: all stay where they are

    @property
    def large(self) -> Mapping[str, nn.Module]:
        """T5 and Llama."""
        return {"text_encoder_3": self.t5.network, "text_encoder_4": self.llama.network}

    @torch.no_grad()
    def encode(self, prompt: str, suffix: str) -> Encoded:
        """As in `TextEncoder`. CLIP sees no mask, and padding counts as text later on: diffusers does the same."""
        parts = (*self.clips, self.t5, self.llama)
        (*clip_ids, t5_ids, llama_ids), ignored = truncate_prompt([part.reader for part in parts], prompt, suffix)
        pooled = []
        for part, ids in zip(self.clips, clip_ids, strict=True):
            with self._present(part):
                pooled.append(part.network(part.batch(ids)[0]).text_embeds)
        with self._present(self.t5):
            rows, mask = self.t5.batch(t5_ids)
            sentence = self.t5.network(input_ids=rows, attention_mask=mask).last_hidden_state
        with self._present(self.llama):
            rows, mask = self.llama.batch(llama_ids)
            layers = self.llama.network(
                input_ids=rows, attention_mask=mask, output_hidden_states=True, use_cache=False
            ).hidden_states[1:]
        return Encoded(Embeddings(torch.stack(layers), sentence, torch.cat(pooled, dim=-1)), ignored)

    @contextmanager
    def _present(self, part: Part) -> Iterator[None]:
        """Have one network where it reads; the device's memory is given back even if it fails.

        What waits in host memory stays there meanwhile, so that nothing is copied back.
        """
        if self.visits is None:
            yield
            return
        weights = [(weight, weight.data) for weight in part.network.parameters()]
        buffers = [
            (module, name, buffer)
            for module in part.network.modules()
            for name, buffer in module.named_buffers("", False)
        ]
        try:
            part.network.to(self.visits)
            yield
        finally:
            for weight, waiting in weights:
                weight.data = waiting
            for module, name, buffer in buffers:
                setattr(module, name, buffer)
            if self.visits.type == "cuda":
                torch.cuda.empty_cache()

    def to(self, device: torch.device) -> None:
        """As in `TextEncoder`."""
        for part in (*self.clips, self.t5, self.llama):
            part.network.to(device)


def load_text_encoder(
    base: Base,
    model: Model,
    *,
    token_limit: int,
    precision: Precision,
    device: torch.device,
    dtype: torch.dtype | None = None,
    visits: torch.device | None = None,
    artefacts: Folder | None = None,
    directory: Path | None = None,
    on_bytes: Callable[[int], None] = lambda _count: None,
) -> TextEncoder:
    """The text encoder of a base, its weights streamed to `device`; `on_bytes` as in `stream.tensors`.

    With `visits`, each network goes there to read and comes back. `artefacts` may hold T5 and Llama as they are held
    (`derive`), half the bytes to read where that is in 8 bit.

    `dtype` is that of sums, embeddings and what isn't quantised: float32 at `FLOAT32`, otherwise bfloat16, unless it is
    given. 8-bit are the matrices of T5 and Llama; the CLIPs are too small to gain by it. `directory` keeps tokenizers
    for the next start, where `base` is far away.

    Raises:
        WeightsMissing: a file is not there.
        FileDamaged: a file differs from the manifest or cannot be read.
        NetworkConfigInvalid, TokenizerInvalid, TensorsMismatch: a file is not what the model needs.
        PreparedWeightsDamaged: the prepared weights in `artefacts` are damaged.
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
    loader = _Loader(base, token_limit, precision, dtype, device, artefacts, directory, on_bytes)
    clips = (loader.clip("text_encoder", "tokenizer"), loader.clip("text_encoder_2", "tokenizer_2"))
    return FourEncoders(identity, token_limit, clips, loader.t5(), loader.llama(), visits)


@dataclass(frozen=True)
class _Loader:
    """Loads the four, one at a time."""

    base: Base
    token_limit: int
    precision: Precision
    dtype: torch.dtype
    device: torch.device
    artefacts: Folder | None
    directory: Path | None
    on_bytes: Callable[[int], None]

    def clip(self, folder: str, tokenizer_folder: str) -> Part:
        from transformers.models.clip.modeling_clip import CLIPTextConfig, CLIPTextModelWithProjection
        from transformers.models.clip.tokenization_clip import CLIPTokenizer

        limit = min(self.token_limit, CLIP_LIMIT)
        network = self._empty(folder, CLIPTextConfig, CLIPTextModelWithProjection)
        places = network.config.max_position_embeddings
        if places < limit:
            raise NetworkConfigInvalid(
                f"The CLIP in {folder} reads {places} tokens and {limit} are needed: HiDream has long-context CLIPs."
            )
        network.to_empty(device=self.device)
        # Outside the weights, so that `to_empty` leaves it undefined.
        network.text_model.embeddings.position_ids = torch.arange(places, device=self.device).expand(1, -1)
        # Older files have it too, as a tensor.
        fill(network, self._tensors(folder), ignored=lambda name: name == "text_model.embeddings.position_ids")
        return self._part(tokenizer_folder, CLIPTokenizer, network, CLIP_LIMIT)

    def t5(self) -> Part:
        from transformers.models.t5.modeling_t5 import T5Config, T5EncoderModel
        from transformers.models.t5.tokenization_t5 import T5Tokenizer

        folder = "text_encoder_3"
        network = self._empty(folder, T5Config, T5EncoderModel).encoder
        if self.precision == Precision.INT8:
            hold_as_int8(network, keep=lambda _: False)
        network.to_empty(device=self.device)
        fill(network, self._prepared(folder) or t5_names(self._tensors(folder)))
        return self._part("tokenizer_3", T5Tokenizer, network)

    def llama(self) -> Part:
        from transformers.models.llama.modeling_llama import LlamaConfig, LlamaModel, LlamaRotaryEmbedding
        from transformers.tokenization_utils_tokenizers import PreTrainedTokenizerFast

        folder = "text_encoder_4"
        network = self._empty(folder, LlamaConfig, LlamaModel)
        if self.precision == Precision.INT8:
            hold_as_int8(network, keep=lambda _: False)
        network.to_empty(device=self.device)
        # Its frequencies are outside the weights, so that `to_empty` leaves them undefined.
        network.rotary_emb = LlamaRotaryEmbedding(network.config).to(self.device)
        fill(network, self._prepared(folder) or llama_names(self._tensors(folder)))
        return self._part("tokenizer_4", PreTrainedTokenizerFast, network, pads_with_eos=True)

    def _empty(self, folder: str, config_class: Any, network_class: Any) -> Any:
        """The network on the meta device, in evaluation mode."""
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
        """The network's own tensors, if they have been derived before."""
        if self.artefacts is None:
            return None
        artefact = load_artefact(self.artefacts, self.base.id, folder, self.precision)
        return None if artefact is None else artefact.tensors(on_bytes=self.on_bytes)

    def _tensors(self, folder: str) -> Stream:
        return tensors(self.base.folder, self.base.within(folder), on_bytes=self.on_bytes)

    def _part(
        self, folder: str, tokenizer_class: Any, network: Any, most: int | None = None, *, pads_with_eos: bool = False
    ) -> Part:
        with self._small_files(folder) as directory:
            try:
                tokenizer = tokenizer_class.from_pretrained(directory, local_files_only=True)
            # tokenizers raises Exception itself.
            except Exception as error:
                raise TokenizerInvalid(
                    f"The tokenizer in {folder} of {self.base.folder} can't be used: {REMEDY}."
                ) from error
        limit = min(self.token_limit, most or tokenizer.model_max_length)
        return Part(
            reader(tokenizer.backend_tokenizer, limit),
            tokenizer.eos_token_id if pads_with_eos else tokenizer.pad_token_id,
            tokenizer.padding_side == "left",
            network,
        )

    @contextmanager
    def _small_files(self, folder: str) -> Iterator[Path]:
        """A directory with the verified files of one folder."""
        with TemporaryDirectory(prefix="onbrand-") as temporary:
            # By base: a file that another base left there would be read too.
            destination = (self.directory or Path(temporary)) / self.base.id
            fetch(self.base.folder, self.base.within(folder), destination)
            yield destination / folder


def t5_names(stream: Stream) -> Iterator[tuple[str, Tensor]]:
    """The encoder's tensors by its own names. What it shares with a decoder may be there under either name, or both.

    Raises:
        TensorsMismatch: the two differ, or a tensor is not the encoder's.
    """
    shared: Tensor | None = None
    for name, tensor in stream:
        if name not in ("shared.weight", "encoder.embed_tokens.weight"):
            if not name.startswith("encoder."):
                raise TensorsMismatch(
                    f"T5's weights have {name[:200]!r}, which its encoder has no place for: {REMEDY}."
                )
            yield name.removeprefix("encoder."), tensor
        elif shared is None:
            shared = tensor
            yield "embed_tokens.weight", tensor
        elif not torch.equal(shared, tensor):
            raise TensorsMismatch(f"T5's tensors shared.weight and encoder.embed_tokens.weight differ: {REMEDY}.")


def llama_names(stream: Stream) -> Iterator[tuple[str, Tensor]]:
    """Llama's tensors by `LlamaModel`'s names, out of a file of it or of `LlamaForCausalLM`, which has one more.

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
