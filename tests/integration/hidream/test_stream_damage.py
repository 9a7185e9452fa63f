"""Streaming never accepts a damaged file, or a file with a wrong header."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load

from onbrand.errors import FileDamaged, SafetensorsInvalid, TensorsMismatch, WeightsMissing
from onbrand.storage.files import ManifestFile
from onbrand.storage.safetensors_header import FormatError, tensor_entries
from tests.integration.hidream.safetensors_files import (
    SMALL,
    described,
    entry,
    reading_threads,
    same,
    streamed,
    with_header,
    written,
)


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert not reading_threads()


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_any_changed_byte_is_refused(tmp_path: Path, flip: int) -> None:
    file = written(tmp_path, SMALL)
    for position in range(len(SMALL)):
        changed = bytearray(SMALL)
        changed[position] ^= flip
        (tmp_path / file.path).write_bytes(changed)
        with pytest.raises(FileDamaged, match=r"The file model\.safetensors in .* can't be used: .*"):
            streamed(tmp_path, file)


def test_any_truncation_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, SMALL)
    for size in range(len(SMALL)):
        (tmp_path / file.path).write_bytes(SMALL[:size])
        with pytest.raises(FileDamaged):
            streamed(tmp_path, file)
        with pytest.raises(SafetensorsInvalid):  # also if the manifest describes the truncated file
            streamed(tmp_path, described(tmp_path / file.path))


def test_appended_bytes_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, SMALL)
    (tmp_path / file.path).write_bytes(SMALL + b"\0")
    for manifest in (file, described(tmp_path / file.path)):
        with pytest.raises(FileDamaged):
            streamed(tmp_path, manifest)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, SMALL)
    (tmp_path / file.path).unlink()
    with pytest.raises(WeightsMissing, match=r"The file model\.safetensors is missing in .* restore it"):
        streamed(tmp_path, file)


def test_a_tensor_name_in_two_files_is_refused(tmp_path: Path) -> None:
    first, second = (written(tmp_path, SMALL, f"{n}.safetensors") for n in (1, 2))
    with pytest.raises(TensorsMismatch, match="another file has a tensor of the same name"):
        streamed(tmp_path, first, second)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"a": entry(0, 8), "b": entry(4, 8, shape=[1])}, id="overlap"),
        pytest.param({"a": entry(0, 8), "b": entry(0, 8)}, id="two at one offset"),
        pytest.param({"a": entry(4, 8, shape=[1])}, id="gap before"),
        pytest.param({"a": entry(0, 2, "I8"), "b": entry(4, 8, shape=[1])}, id="gap between"),
        pytest.param({"a": entry(0, 4, shape=[1])}, id="bytes left over"),
        pytest.param({}, id="nothing named"),
        pytest.param({"a": entry(0, 16, shape=[4])}, id="beyond the end"),
        pytest.param({"a": entry(0, 2**62, shape=[2**60])}, id="far beyond the end"),
        pytest.param({"a": entry(8, 0)}, id="backwards"),
        pytest.param({"a": entry(-8, 8, shape=[4])}, id="before the beginning"),
        pytest.param({"a": entry(0.0, 8)}, id="a fraction"),
        pytest.param({"a": entry(False, 8)}, id="a boolean"),
        pytest.param({"a": entry(shape=[True, 2])}, id="a boolean in the shape"),
        pytest.param({"a": entry(shape=[3])}, id="shape too large"),
        pytest.param({"a": entry(shape=[1])}, id="shape too small"),
        pytest.param({"a": entry(shape=[-1, -2])}, id="negative shape"),
        pytest.param({"a": entry(), "b": entry(8, 8, shape=[0, 2**40, 2**40])}, id="empty and enormous"),
        pytest.param({"a": entry(shape=[1] * 70 + [2])}, id="many dimensions"),
        pytest.param({"a": entry(dtype="F4")}, id="unknown type"),
        pytest.param({"a": entry(dtype=None)}, id="no type"),
        pytest.param({"a": entry(more=1)}, id="an unknown key"),
        pytest.param({"a": {"dtype": "F32", "shape": [2]}}, id="no offsets"),
        pytest.param({"a": 1}, id="no entry"),
        pytest.param({"__metadata__": {"n": 1}, "a": entry()}, id="metadata no text"),
        pytest.param({"__metadata__": [], "a": entry()}, id="metadata a list"),
        pytest.param([entry()], id="a list"),
        pytest.param(
            b'{"a":' + json.dumps(entry()).encode() + b',"a":' + json.dumps(entry()).encode() + b"}", id="twice"
        ),
        pytest.param(b" " + json.dumps({"a": entry()}).encode(), id="a space first"),
        pytest.param(b'{"a":' * 50_000, id="deep"),
        pytest.param(b'{"a\xff":1}', id="no UTF-8"),
        pytest.param(b"\x80\x04K\x01.", id="a pickle"),
    ],
)
def test_a_wrong_header_is_refused_although_the_checksum_is_right(tmp_path: Path, header: object) -> None:
    content = with_header(header)
    with pytest.raises(SafetensorsInvalid, match="can't be used: "):
        streamed(tmp_path, written(tmp_path, content))
    with pytest.raises(FormatError):  # the header parser itself refuses it
        tensor_entries(content[8:-8], 8)


def test_a_correct_header_of_this_kind_is_accepted(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"n": "1"},
        "a": entry(0, 4, shape=[1]),
        "none": entry(4, 4, shape=[0]),
        "b": entry(4, 8, shape=[1]),
    }
    assert streamed(tmp_path, written(tmp_path, with_header(header))).keys() == {"a", "none", "b"}


@given(st.data())
@examples(max_examples=300, deadline=None)
def test_a_manipulated_file_is_refused_or_read_as_safetensors_reads_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    changed = bytearray(SMALL)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(changed) - 1))
        changed[position : position + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"0", b"1", b"9", b'"', b",", b"]", b"-", b" ", b"\0", b"U16", b"a"])
        )
    content = bytes(changed)
    directory = tmp_path_factory.getbasetemp()
    try:
        found = streamed(directory, written(directory, content, "changed.safetensors"))
    except FileDamaged:
        return
    try:
        assert same(found, load(content))
    except SafetensorError as error:  # pragma: no cover
        raise AssertionError(f"safetensors refuses what was read: {content!r}") from error


@pytest.mark.parametrize("length", [90_000_000, 2**40, 2**64 - 1])
def test_a_header_that_claims_to_be_huge_costs_no_memory(tmp_path: Path, length: int) -> None:
    file = written(tmp_path, length.to_bytes(8, "little") + b"{}")
    tracemalloc.start()
    try:
        for size in (file.size, 2**42):  # also with a wrong size in the manifest
            with pytest.raises(FileDamaged):
                streamed(tmp_path, ManifestFile(file.path, size, file.sha256))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
