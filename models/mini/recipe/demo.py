"""The whole way by hand: from the sample brand's illustrations to a review, on the mini and on this machine.

`make demo-brand` runs it. Each step is a command that a studio would type, and is printed before it runs. What is done
already is left as it is, so after Ctrl-C or a crash the same command goes on. A few steps of training, to see that all
of it works, in two minutes: `make demo-brand DEMO_STEPS=8`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onbrand.config import ModelName, Settings, load_settings
from onbrand.packs.manifest import load_pack

NAME, VERSION = "Demo brand", "1"
_START_SECONDS = 180.0
_AGAIN = "The same command goes on from here. To begin anew, delete {folder}."


@dataclass(frozen=True)
class Demo:
    """Where everything of it is. `steps` are those of the training; None: as many as for any studio."""

    folder: Path
    settings: Settings
    steps: int | None

    @property
    def illustrations(self) -> Path:
        """As a designer hands them in."""
        return self.folder / "brands" / "sample"

    @property
    def data(self) -> Path:
        """The same, as the model sees them."""
        return self.folder / "data"

    @property
    def run(self) -> Path:
        """The training run."""
        return self.folder / "run"

    def training(self) -> list[str] | None:
        """The command that trains or goes on; None if the training is done."""
        chosen = [] if self.steps is None else ["--steps", str(self.steps)]
        command = ["train", str(self.data), "--out", str(self.run), *chosen]
        try:
            steps = json.loads((self.run / "run.json").read_bytes())["settings"]["steps"]
        except OSError:
            return command
        is_done = (self.run / "checkpoints" / f"{steps:06d}" / "checkpoint.json").exists()
        return None if is_done and self.steps in (None, steps) else [*command, "--resume"]

    def pack(self) -> tuple[str, Path] | None:
        """Id and folder of the pack that the evaluation built; None before that."""
        try:
            wanted = json.loads((self.run / "evaluation.json").read_bytes())["pack"]["id"]
        except OSError:
            return None
        found = [path for path in (self.run / "packs").iterdir() if load_pack(path).id == wanted]
        return (wanted, found[0]) if found else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Go the whole way; returns the exit code."""
    settings = load_settings()
    parser = argparse.ArgumentParser(prog="python -m models.mini.recipe.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=settings.data_dir / "demo-brand")
    parser.add_argument("--steps", type=int, help="steps of the training; default: by the number of illustrations")
    parser.add_argument("--stop", action="store_true", help="stop Onbrand at the end, if it was started here")
    options = parser.parse_args(arguments)
    if settings.model is not ModelName.MINI:
        say("The demo is for the mini: unset ONBRAND_MODEL.")
        return 78
    demo = Demo(options.folder, settings, options.steps)
    try:
        make(demo)
        with onbrand_running(demo) as started:
            review(demo)
            if started is not None and not options.stop:
                say("Onbrand runs for this until Ctrl-C.")
                started.wait()
    except subprocess.CalledProcessError as error:
        say(_AGAIN.format(folder=demo.folder))
        return error.returncode
    except KeyboardInterrupt:
        say(_AGAIN.format(folder=demo.folder))
        return 130
    return 0


def make(demo: Demo) -> None:
    """From nothing to a pack."""
    heading(1, "The sample brand's forty illustrations, as a designer would hand them in", demo.illustrations)
    if not demo.illustrations.exists():
        command([sys.executable, "-m", "models.mini.recipe", "illustrations", "--lab", str(demo.folder)])
    heading(2, "Check them, and write them as the model sees them", demo.data / "report.html")
    if not demo.data.exists():
        onbrand("dataset", "check", str(demo.illustrations), "--fix", str(demo.data))
    heading(3, "Train: about five minutes on two cores", demo.run / "report.html")
    if (training := demo.training()) is not None:
        onbrand(*training)
    heading(
        4, "Evaluate each checkpoint, choose one, build its pack: about three minutes", demo.run / "evaluation.html"
    )
    if demo.pack() is None:
        onbrand("evaluate", str(demo.run), "--name", NAME, "--version", VERSION)


def review(demo: Demo) -> None:
    """Open a review of the pack, or find the one that is open or answered, and say what comes next."""
    pack = demo.pack()
    assert pack is not None
    heading(6, "Put the pack into the store", pack[1])
    onbrand("pack", "add", str(pack[1]))
    short = pack[0][:12]
    known: list[Any] = json.loads(onbrand("review", "show", pack[0], "--json", is_shown=False))["reviews"]
    heading(7, "A designer's blind review", None)
    if not known:
        onbrand("review", "open", short, "--originals", str(demo.run / "held-out"))
        known = json.loads(onbrand("review", "show", pack[0], "--json", is_shown=False))["reviews"]
    verdicts = [verdict for one in known for verdict in one["verdicts"]]
    say("")
    say(f"Look at: {demo.data / 'report.html'}, {demo.run / 'report.html'} and {demo.run / 'evaluation.html'}")
    if verdicts:
        say(f"{verdicts[-1]['reviewer']} has {verdicts[-1]['outcome']} it: onbrand review show {short}")
    else:
        say(f'Review it: {known[0]["link"]}  (sign in as "Designer")')
    say(f"When it is approved, make it live: onbrand pack promote {short}")


@contextmanager
def onbrand_running(demo: Demo) -> Iterator[subprocess.Popen[bytes] | None]:
    """Onbrand on this machine: the one that runs, or one that is started and ends with the block."""
    log = demo.folder / "up.log"
    heading(5, f"Start Onbrand at http://localhost:{demo.settings.port}, unless it runs", log)
    if is_ready(demo.settings.port):
        yield None
        return
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "onbrand", "up"], stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not is_ready(demo.settings.port):
            if process.poll() is not None or time.monotonic() > deadline:
                say(log.read_text("utf-8", errors="replace").strip().rpartition("\n")[2])
                raise subprocess.CalledProcessError(process.poll() or 1, "onbrand up")
            time.sleep(0.5)
        yield process
    finally:
        process.terminate()
        process.wait()


def is_ready(port: int) -> bool:
    """Whether an Onbrand listens there, and a worker is ready."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(json.load(answer).get("workers"))
    except (OSError, ValueError):
        return False


def onbrand(*arguments: str, is_shown: bool = True) -> str:
    """Run a command of ours to its end. What it prints is shown, or else returned."""
    return command([sys.executable, "-m", "onbrand", *arguments], is_shown=is_shown)


def command(words: Sequence[str], *, is_shown: bool = True) -> str:
    """Run a command; `subprocess.CalledProcessError` if it fails."""
    if is_shown:
        say("$ " + shlex.join(["onbrand" if words[2] == "onbrand" else f"python -m {words[2]}", *words[3:]]))
    done = subprocess.run(words, check=True, text=True, stdout=None if is_shown else subprocess.PIPE)
    return done.stdout or ""


def heading(number: int, what: str, where: Path | None) -> None:
    """Say which step it is, and where to look."""
    say(f"\n[{number}/7] {what}")
    if where is not None:
        say(f"      {where}")


def say(line: str) -> None:
    """One line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
