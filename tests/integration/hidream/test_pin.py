"""Pinning a directory of weights: what `onbrand pack base` writes and refuses."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from onbrand.config import REPOSITORY
from onbrand.errors import CodeInBase, ConfigError, DataDirUnwritable, SafetensorsInvalid, WeightsMissing
from onbrand.hidream.models import MODELS
from onbrand.hidream.packaging.pin import parse_source, write_base
from onbrand.packs.base import BASE_MANIFEST, Base, Source
from tests.tiny import tiny_base

MODEL = "hidream-i1-dev"
REVISION = "0123456789abcdef" * 2 + "01234567"
SOURCES = [Source(folder, part.repository, REVISION) for folder, part in MODELS[MODEL].components.items()]


@pytest.fixture(scope="module")
def downloaded(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A pinned base."""
    return tiny_base(tmp_path_factory.mktemp("downloaded"), MODEL)


@pytest.fixture
def directory(downloaded: Base, tmp_path: Path) -> Path:
    """The files of that base, without its manifest."""
    shutil.copytree(str(downloaded.folder), tmp_path / "base")
    (tmp_path / "base" / BASE_MANIFEST).unlink()
    return tmp_path / "base"


def test_a_pinned_directory_is_a_base_with_all_its_files(downloaded: Base, directory: Path) -> None:
    base = write_base(directory, MODEL, SOURCES)
    assert set(base.manifest.files) == {file for file in downloaded.manifest.files if "/" in file.path}
    assert base.manifest.sources == tuple(SOURCES)
    base.verify()
    assert write_base(directory, MODEL, list(reversed(SOURCES))) == base  # pinning again changes nothing


def test_the_mini_models_manifest_has_the_files_that_pinning_finds(tmp_path: Path) -> None:
    ours = REPOSITORY / "models" / "mini"
    shutil.copytree(ours, tmp_path / "mini", ignore=shutil.ignore_patterns(BASE_MANIFEST))
    text_encoder = Source("text_encoder", "sentence-transformers/all-MiniLM-L6-v2", REVISION)
    base = write_base(tmp_path / "mini", "mini", [text_encoder])
    assert {file.path: file.sha256 for file in base.manifest.files} == {
        file["path"]: file["sha256"] for file in json.loads((ours / BASE_MANIFEST).read_text())["files"]
    }


def test_hidden_files_and_files_beside_the_components_are_ignored(directory: Path) -> None:
    before = write_base(directory, MODEL, SOURCES)
    (directory / "README.md").write_text("read me")
    (directory / "assets").mkdir()
    (directory / "assets" / "run.py").write_text("print()")
    (directory / "vae" / ".cache").mkdir()
    (directory / "vae" / ".cache" / "lock.bin").write_text("")
    (directory / "vae" / ".gitattributes").write_text("")
    assert write_base(directory, MODEL, SOURCES) == before


def test_a_component_may_be_a_link(directory: Path, tmp_path: Path) -> None:
    before = write_base(directory, MODEL, SOURCES)
    (directory / "text_encoder_4").rename(tmp_path / "llama")
    (directory / "text_encoder_4").symlink_to(tmp_path / "llama")
    assert write_base(directory, MODEL, SOURCES) == before


@pytest.mark.parametrize("name", ["pytorch_model.bin", "original/consolidated.00.PTH", "modeling.py", "model.pkl"])
def test_a_file_that_can_contain_code_is_refused(directory: Path, name: str) -> None:
    path = directory / "text_encoder_4" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(CodeInBase, match=f"text_encoder_4/{name} in .* can contain code, .*: remove it"):
        write_base(directory, MODEL, SOURCES)
    assert not (directory / BASE_MANIFEST).exists()


@pytest.mark.parametrize("content", [pickle.dumps({"weight": [1.0] * 100}), (2).to_bytes(8, "little") + b"{}more"])
def test_another_format_with_the_name_safetensors_is_refused(directory: Path, content: bytes) -> None:
    (directory / "vae" / "more.safetensors").write_bytes(content)
    with pytest.raises(SafetensorsInvalid, match=r"vae/more\.safetensors in .* can't be used"):
        write_base(directory, MODEL, SOURCES)


def test_a_component_without_weights_is_named(directory: Path) -> None:
    for shard in (directory / "transformer").glob("*.safetensors"):
        shard.unlink()
    with pytest.raises(WeightsMissing, match=r"There are no weights in .*/transformer"):
        write_base(directory, MODEL, SOURCES)


def test_every_downloaded_component_needs_its_source(directory: Path) -> None:
    with pytest.raises(ConfigError, match="Say where vae came from: --source vae=HiDream-ai/HiDream-I1-Dev@REVISION"):
        write_base(directory, MODEL, SOURCES[:-1])
    with pytest.raises(ConfigError, match="no component unet"):
        write_base(directory, MODEL, [*SOURCES, Source("unet", "a/b", REVISION)])
    with pytest.raises(ConfigError, match="only once"):
        write_base(directory, MODEL, [*SOURCES, SOURCES[0]])


@pytest.mark.parametrize("text", ["vae", "vae=a/b", "vae=a/b@main", f"vae=a/b@{REVISION[:-1]}", f"=a/b@{REVISION}"])
def test_a_source_needs_a_commit(text: str) -> None:
    with pytest.raises(ConfigError, match="FOLDER=REPOSITORY@REVISION"):
        parse_source(text)


def test_changed_weights_are_not_pinned_silently(directory: Path) -> None:
    write_base(directory, MODEL, SOURCES)
    before = (directory / BASE_MANIFEST).read_bytes()
    (directory / "vae" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="If you changed them on purpose, remove it"):
        write_base(directory, MODEL, SOURCES)
    assert (directory / BASE_MANIFEST).read_bytes() == before


def test_a_manifest_that_cannot_be_written_is_named(directory: Path) -> None:
    (directory / BASE_MANIFEST).mkdir()
    with pytest.raises(DataDirUnwritable, match=r"can't be written \(Is a directory\)"):
        write_base(directory, MODEL, SOURCES)


def test_the_command_pins_and_says_what_to_set(directory: Path) -> None:
    given = [f"--source={source.folder}={source.repository}@{source.revision}" for source in SOURCES]
    command = [sys.executable, "-m", "onbrand", "pack", "base", str(directory), "--model", MODEL]
    done = subprocess.run([*command, *given], capture_output=True, text=True, timeout=120, check=True)
    assert f"ONBRAND_MODEL={MODEL} ONBRAND_MODEL_PATH={directory}" in done.stdout
    assert write_base(directory, MODEL, SOURCES).id in done.stdout
    failed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert failed.returncode == 78
    assert failed.stderr.startswith("onbrand: Say where text_encoder came from")
