"""`onbrand pack build` on the command line: what it prints, and one clear line for each value that it can't take."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onbrand.cli.main import main
from onbrand.hidream import load
from onbrand.packs.manifest import Probe
from tests.packs import MINI, MODULE, SAMPLE, lora_bytes

Run = Callable[..., tuple[int, str, str]]
PIPE, NOT_UTF8 = "pipe", os.fsdecode(b"br\xffnd.safetensors")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, with a LoRA that says no alpha. The model's output is not measured."""
    (tmp_path / "lora.safetensors").write_bytes(lora_bytes())
    (tmp_path / NOT_UTF8).write_bytes(b"")
    os.mkfifo(tmp_path / PIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONBRAND_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(load, "probe_lora", lambda *_: Probe((1.0,) * 8, (2.0,) * 8))

    def run(lora: str | Path, *options: str) -> tuple[int, str, str]:
        words = ["--lora", str(lora), "--name", "Brand", "--out", "pack", *options]
        monkeypatch.setattr(sys, "argv", ["onbrand", "pack", "build", *words])
        try:
            main()
        except SystemExit as end:
            told = capsys.readouterr()
            return int(end.code or 0), told.out, told.err
        raise AssertionError("the command did not end")

    return run


def test_it_tells_how_many_modules_are_adapted_and_which_are_left_out(run: Run) -> None:
    code, out, err = run("lora.safetensors", "--alpha", "4")
    assert (code, err) == (0, "")
    other = MODULE.replace("blocks.0", "blocks.1")
    assert out.splitlines()[1] == f"its LoRA adapts 1 module, and leaves out 1 of the same kinds ({other})"
    code, out, err = run(SAMPLE.path("lora.safetensors"), "--alpha", "16", "--out", "sample")
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == f"its LoRA adapts {len(SAMPLE.manifest.lora.adapted_modules)} modules"


@pytest.mark.parametrize(
    ("lora", "options", "sentence"),
    [
        ("lora.safetensors", ["--alpha", "1e308"], "cannot have this lora.alpha (allowed: above 0 and at most 100000)"),
        ("lora.safetensors", ["--alpha", "nan"], "cannot have this lora.alpha (allowed: above 0"),
        ("lora.safetensors", ["--alpha", "4", "--scale", "0"], "cannot have this lora.scale (allowed: above 0 and at"),
        ("lora.safetensors", ["--alpha", "4", "--scale", "inf"], "cannot have this lora.scale"),
        ("lora.safetensors", ["--alpha", "4", "--steps", "0"], "cannot have this steps (allowed: 1 to 200)"),
        ("lora.safetensors", ["--alpha", "4", "--shift", "-1"], "cannot have this shift (allowed: above 0"),
        ("lora.safetensors", ["--alpha", "4", "--guidance-scale", "31"], "this guidance_scale (allowed: 0 to 30)"),
        (
            "lora.safetensors",
            ["--alpha", "4", "--name", "a\nb"],
            "this name (allowed: 1 to 100 characters in one line)",
        ),
        ("lora.safetensors", ["--alpha", "4", "--example", ""], "this examples (allowed: at most 6, each of 1 to 100"),
        ("lora.safetensors", ["--alpha", "4", "--out", "."], "a brand pack never changes: name a folder that does not"),
        ("lora.safetensors", [], "does not contain its alpha, which decides its strength: give the alpha"),
        (PIPE, ["--alpha", "4"], "The LoRA pipe is not a file: name a file that is there."),
        (NOT_UTF8, ["--alpha", "4"], r"br\udcffnd.safetensors is empty: copy the LoRA again."),
        ("gone", ["--alpha", "4"], "The LoRA gone cannot be read (No such file or directory): name a file that is"),
    ],
)
def test_a_value_that_it_cannot_take_is_one_clear_line(
    run: Run, tmp_path: Path, lora: str, options: list[str], sentence: str
) -> None:
    code, out, err = run(lora, *options)
    assert (code, out) == (78, "")
    assert err.startswith("onbrand: ")
    assert sentence in err
    assert err.endswith(".\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "pack").exists()


def test_a_name_that_is_not_utf8_is_no_obstacle(run: Run, tmp_path: Path) -> None:
    (tmp_path / NOT_UTF8).write_bytes(lora_bytes())
    assert run(NOT_UTF8, "--alpha", "4")[0] == 0
    assert (tmp_path / "pack" / "lora.safetensors").read_bytes() == (tmp_path / NOT_UTF8).read_bytes()


def test_every_kind_of_module_is_told_apart_from_its_number() -> None:
    from onbrand.packs.lora_coverage import left_out

    query = MODULE.replace("blocks.0", "blocks.{}")
    first = query.format(0)
    assert left_out([first], MINI) == tuple(
        sorted(
            name.removesuffix(".weight")
            for name in MINI.shapes("transformer")
            if name.startswith("double_stream_blocks.") and name.endswith(".attn1.to_q.weight") and first not in name
        )
    )
