"""The mini model's text encoder equals transformers' BertModel bit for bit, without importing transformers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import BertModel, PreTrainedTokenizerFast

from onbrand.errors import NetworkConfigInvalid, TensorsMismatch, TokenizerInvalid
from onbrand.hidream.models import MODELS, Precision
from onbrand.hidream.text.encode import TextEncoder, truncate_prompt
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.hidream.text.minilm import MiniLmEncoder
from onbrand.packs.base import Base, load_base
from onbrand.storage.files import LocalFolder
from tests.integration.hidream.bases import repin

MINI = Path(__file__).parents[3] / "models" / "mini"
CONFIG = json.loads((MINI / "text_encoder" / "config.json").read_text(encoding="utf-8"))
SUFFIX = ", onbrand style"
LIMIT = 128


def load(base: Base) -> TextEncoder:
    return load_text_encoder(
        base, MODELS["mini"], token_limit=LIMIT, precision=Precision.FLOAT32, device=torch.device("cpu")
    )


@pytest.fixture(scope="module")
def encoder() -> MiniLmEncoder:
    loaded = load(load_base(LocalFolder(MINI)))
    assert isinstance(loaded, MiniLmEncoder)
    return loaded


@pytest.fixture(scope="module")
def bert() -> BertModel:
    return BertModel.from_pretrained(MINI / "text_encoder", dtype=torch.float32, local_files_only=True).eval()


@pytest.mark.parametrize("prompt", ["", "a blue kettle", "a kettle beside a window, morning light " * 12])
@torch.no_grad()
def test_it_gives_the_embeddings_of_the_mini_models_training(
    encoder: MiniLmEncoder, bert: BertModel, prompt: str
) -> None:
    tokenizer = PreTrainedTokenizerFast.from_pretrained(MINI / "text_encoder", local_files_only=True)
    ids = tokenizer(prompt + SUFFIX).input_ids
    assert truncate_prompt([encoder.tokenizer], prompt, SUFFIX) == ([ids], 0)
    output = bert(input_ids=torch.tensor([ids]), output_hidden_states=True)
    layers = F.layer_norm(torch.stack(output.hidden_states[1:]), (384,))[:, :, : MODELS["mini"].text_slots]
    pooled = F.normalize(output.last_hidden_state.mean(dim=1), dim=-1) * 384**0.5

    embeddings = encoder.encode(prompt, SUFFIX).embeddings

    assert embeddings.llama3.shape == (6, 1, MODELS["mini"].text_slots, 384)
    text = layers.shape[2]
    assert torch.equal(embeddings.llama3[:, :, :text], layers)
    assert not embeddings.llama3[:, :, text:].any()
    assert torch.equal(embeddings.pooled, pooled)
    assert torch.equal(embeddings.t5, pooled[:, None])


def test_a_long_prompt_is_cut_and_the_suffix_is_not(encoder: MiniLmEncoder) -> None:
    prompt = "kettle " * 200
    (ids,), ignored = truncate_prompt([encoder.tokenizer], prompt, SUFFIX)
    suffix = encoder.tokenizer.ids(SUFFIX)[1:]
    assert len(ids) == LIMIT
    assert ids[-len(suffix) :] == suffix
    # Each word is one token; spaces around the cut do not matter.
    assert prompt[: len(prompt) - ignored].split() == ["kettle"] * (LIMIT - 1 - len(suffix))
    assert encoder.encode(prompt, SUFFIX).ignored == ignored


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"]), min_size=40, max_size=400))
def test_the_prompt_without_the_ignored_part_fits(encoder: MiniLmEncoder, prompt: str) -> None:
    ids, ignored = truncate_prompt([encoder.tokenizer], prompt, SUFFIX)
    assert len(ids[0]) <= LIMIT
    assert truncate_prompt([encoder.tokenizer], prompt[: len(prompt) - ignored], SUFFIX) == (ids, 0)


def test_special_tokens_are_plain_text_in_a_prompt(encoder: MiniLmEncoder) -> None:
    ids = encoder.tokenizer.ids("a kettle [SEP] [PAD] [MASK]")
    assert ids[-1] == 102
    assert not {0, 102, 103} & set(ids[:-1])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{}"),
        ("config.json", b"not JSON"),
        ("config.json", json.dumps(CONFIG | {"hidden_act": "gelu_new"}).encode()),
        ("config.json", json.dumps(CONFIG | {"max_position_embeddings": 64}).encode()),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff"),
    ],
)
def test_files_of_another_model_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    shutil.copytree(MINI / "text_encoder", tmp_path / "text_encoder")
    (tmp_path / "text_encoder" / name).write_bytes(content)
    expected = TokenizerInvalid if name.startswith("tokenizer") else NetworkConfigInvalid
    with pytest.raises(expected, match="not MiniLM's"):
        load(repin(tmp_path, "mini"))


def test_weights_that_lack_a_tensor_are_refused(tmp_path: Path) -> None:
    shutil.copytree(MINI / "text_encoder", tmp_path / "text_encoder")
    path = tmp_path / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    del weights["encoder.layer.3.output.dense.bias"]
    save_file(weights, path)
    with pytest.raises(TensorsMismatch, match=r"encoder\.layer\.3\.output\.dense\.bias"):
        load(repin(tmp_path, "mini"))


def test_loading_it_imports_neither_transformers_nor_diffusers() -> None:
    program = f"""
import sys
from pathlib import Path
import torch
from onbrand.storage.files import LocalFolder
from onbrand.hidream.text.load_encoders import load_text_encoder
from onbrand.hidream.models import MODELS, Precision
from onbrand.packs.base import load_base

base = load_base(LocalFolder(Path({str(MINI)!r})))
cpu = torch.device("cpu")
encoder = load_text_encoder(base, MODELS["mini"], token_limit=128, precision=Precision.FLOAT32, device=cpu)
encoder.encode("a kettle", "")
print(sorted({{"transformers", "diffusers", "peft", "accelerate", "torch._dynamo", "sympy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
