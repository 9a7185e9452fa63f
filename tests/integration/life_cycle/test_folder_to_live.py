"""From a folder of illustrations to a style that is live, and back: every command and the API, and nothing else.

The model is the mini at tiny size, so the pictures are noise. What is tested is the way.
"""

from __future__ import annotations

import hashlib
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onbrand.storage.files import LocalFolder
from tests.integration.training.tiny_mini import tiny_mini_base
from tests.studio import write_studio
from tests.system import System, free_port, onbrand, running_system, wait_until

COUNT = 22  # illustrations: three of them are held out


@dataclass(frozen=True)
class Operator:
    """Somebody who types commands, with the settings of one machine."""

    settings: dict[str, str]

    def run(self, *arguments: str) -> str:
        """What a command prints; it succeeds."""
        done = onbrand(*arguments, **self.settings)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def refused(self, *arguments: str) -> str:
        """The one line with which a command is refused."""
        done = onbrand(*arguments, **self.settings)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr.splitlines()[-1]


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    system: System
    token: str

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The JSON of an answer with this status."""
        found, answer = self.system.request(method, path, self.token, body)
        assert found == status, answer
        return answer

    def picture(self, path: str) -> bytes:
        """The bytes of an image."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.system.port}{path}")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: bytes = answer.read()
            return content

    def draw(self, prompt: str) -> Any:
        """A job that was submitted and is complete."""
        job_id = self.ask("POST", "/generate", {"prompt": prompt}, status=202)["job_id"]

        def complete() -> Any:
            job = self.ask("GET", f"/jobs/{job_id}")
            assert job["status"] != "failed", job
            return job if job["status"] == "complete" else None

        return wait_until(complete)

    def judge(self, link: str, originals: set[str], usable: set[str]) -> Any:
        """The verdict on the cards behind a link: the brand's own are accepted, and of the drawn ones these."""
        address = f"/reviews/{link.rpartition('=')[2]}"
        cards = self.ask("GET", address)["cards"]
        assert {self.picture(card["picture"])[:4] for card in cards} == {b"\x89PNG"}
        answers = ["as_is" if card["prompt"] in originals | usable else "no" for card in cards]
        given = [{"answer": answer, "reasons": []} for answer in answers]
        return self.ask("PUT", f"{address}/verdict", {"answers": given})


def illustrations(folder: Path) -> Path:
    """As a designer hands them in: one is transparent, and one is large."""
    write_studio(folder, COUNT)
    clear, large = sorted(folder.glob("*.png"))[:2]
    pixels = np.array(Image.open(clear).convert("RGBA"))
    pixels[(pixels[..., :3] == pixels[0, 0, :3]).all(axis=-1)] = 0
    Image.fromarray(pixels).save(clear, compress_level=1)
    Image.open(large).resize((1500, 1500)).save(large, compress_level=1)
    return folder


def fingerprints(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def captions(folder: Path) -> set[str]:
    return {path.read_text("utf-8").strip() for path in folder.glob("*.txt")}


@pytest.mark.timeout(900)
def test_a_folder_becomes_a_style_that_is_live_until_it_is_rejected(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    base = tiny_mini_base(tmp_path / "base", blocks=1, contrast=0.1)
    assert isinstance(base.folder, LocalFolder)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<!doctype html>")
    settings = {
        "DATABASE_URL": database_url,
        "MODEL_PATH": str(base.folder.directory),
        "WEB_DIR": str(tmp_path / "page"),
    }
    data_dir, port = tmp_path / "home", free_port()
    operator = Operator(settings | {"DATA_DIR": str(data_dir), "PORT": str(port)})

    # The folder is checked, and written anew as the model sees it.
    folder, data, run = illustrations(tmp_path / "illustrations"), tmp_path / "data", tmp_path / "run"
    before = fingerprints(folder)
    checked = json.loads(operator.run("dataset", "check", str(folder), "--fix", str(data), "--json"))
    assert {finding["id"] for finding in checked["findings"]} >= {"transparent", "few_pictures"}
    assert fingerprints(folder) == before

    # A LoRA is trained, its checkpoint is chosen, and its pack is built.
    operator.run("train", str(data), "--out", str(run), "--steps", "2", "--learning-rate", "0.5")
    evaluated = json.loads(operator.run("evaluate", str(run), "--name", "Studio", "--version", "2", "--json"))
    pack, (built,) = evaluated["pack"]["id"], (run / "packs").iterdir()
    prompts = {one["prompt"] for one in json.loads((built / "eval_prompts.json").read_text("utf-8"))}
    originals = captions(run / "held-out")
    assert len(originals) == 3
    lora = run / "checkpoints" / "000002" / "lora.safetensors"
    first = ("--name", "Studio", "--version", "1", "--scale", "0.5", "--no-pictures", "--out", str(tmp_path / "first"))
    operator.run("pack", "build", "--lora", str(lora), *first)

    # Version 1 is live, so that there is one to go back to. Nobody has reviewed it, which is recorded.
    earlier = operator.run("pack", "add", str(tmp_path / "first")).splitlines()[0].split()[-1]
    operator.run("pack", "promote", earlier, "--without-sign-off", "a test begins")
    operator.run("pack", "add", str(built))

    with running_system(data_dir, port, **settings) as system:
        system.wait_until_ready()
        member, designer = (
            Person(system, operator.run("token", "--user", account)) for account in ("member", "designer")
        )
        # Without a designer's approval the new style doesn't go live.
        refused = operator.refused("pack", "promote", pack)
        assert f"No designer has approved the pack {pack[:12]}" in refused
        refused = operator.refused("review", "open", pack, "--originals", str(data), "--run", str(run))
        assert "The pack was trained on" in refused
        opened = json.loads(operator.run("review", "open", pack, "--originals", str(run / "held-out"), "--json"))
        assert (opened["pack"], opened["note"]) == (pack, None)
        member.ask("GET", f"/reviews/{opened['review']}", status=403)
        verdict = designer.judge(opened["link"], originals, prompts)
        assert verdict["outcome"] == "approved", verdict
        operator.run("pack", "promote", pack)

        # Workers draw with it, and everybody is told what it is and who approved it.
        job = member.draw("a mug")
        assert (job["pack"]["id"], job["pack"]["name"], job["pack"]["version"]) == (pack, "Studio", "2")
        assert pack.encode() in member.picture(job["images"][0])
        style = member.ask("GET", "/me")["style"]
        assert (style["name"], style["version"], style["reviewed"]) == ("Studio", "2", True)
        assert style["signed_by"] == designer.ask("GET", "/me")["name"]

        # A later rejection takes it back to the one before, and everybody is told.
        again = json.loads(operator.run("review", "open", pack, "--originals", str(run / "held-out"), "--json"))
        verdict = designer.judge(again["link"], originals, set())
        assert (verdict["outcome"], verdict["took_back"]) == ("rejected", True)
        assert member.draw("a mug")["pack"]["id"] == earlier
        me = member.ask("GET", "/me")
        assert (me["style"]["version"], me["taken_back"]["version"]) == ("1", "2")
        assert f"has rejected the pack {pack[:12]}" in operator.refused("pack", "promote", pack)
