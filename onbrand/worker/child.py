"""The model process: `python -m onbrand.worker.child PACK_DIR`. Owns the model and nothing else.

Where the model's weights are it reads from the settings; it knows no database and no user. What it is told and tells
are frames on standard input and output:

    in   read {prompt}                   will be drawn next: to be encoded while the transformer still loads
         draw {job_id, prompt, seeds}   stop {job_id}
    out  plan {text}                     how exactly the model is held, and where
         stage {name, seconds, size}     a part of loading has ended
         reading {}                      the text encoders are loaded: `read` makes sense from here on
         ready {}                        the model is loaded
         refused {message, is_passing}   the weights can't be loaded (now, if that is passing); the process ends
         progress {job_id, phase, step, steps, previews} + JPEGs, whose sizes `previews` tells
         image {job_id, n} + PNG         four of them, then
         drawn {job_id, prompt_ignored}
         failed {job_id, code, reason}   instead of images; `stop` answers with the code of Cancelled

When standard input ends, the worker is gone and the process ends with it. On Linux it does so even while it hangs. It
also ends, after `failed`, when the GPU has refused an operation: from then on a GPU refuses everything of this process.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from onbrand.config import load_settings
from onbrand.errors import JobFailure, ModelFailed, ObjectStoreUnreachable, SetupError
from onbrand.images.png import encode
from onbrand.jobs.models import Progress
from onbrand.packs.base import configured_base
from onbrand.packs.manifest import load_pack
from onbrand.storage.files import derived_folder
from onbrand.worker.frames import Frame, FrameBroken, read, write
from onbrand.worker.reports import to_frame

if TYPE_CHECKING:
    from onbrand.hidream.pipeline import Pipeline

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _Mailbox:
    """Reads standard input in a thread: one request at a time for the model, and stops that overtake it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._requests: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._stopped: set[str] = set()
        self._to_read: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="mailbox", daemon=True).start()

    def next(self) -> Frame:
        """Wait for the next request."""
        return self._requests.get()

    def read_ahead(self, encode: Callable[[str], object]) -> None:
        """From here on encode, in a thread of its own, each prompt that is about to be drawn."""

        def read_prompts() -> None:
            while True:
                # A prompt that can't be read now fails when it is drawn, where it is reported.
                with suppress(Exception):
                    encode(self._to_read.get())

        threading.Thread(target=read_prompts, name="read-ahead", daemon=True).start()

    def is_stopped(self, job_id: str) -> bool:
        """Whether the worker no longer wants this job."""
        return job_id in self._stopped

    def _listen(self) -> None:
        try:
            while (frame := read(self._stream)) is not None:
                match frame.kind:
                    case "stop":
                        self._stopped.add(frame.fields["job_id"])
                    case "read":
                        self._to_read.put(frame.fields["prompt"])
                    case _:
                        self._stopped.discard(frame.fields["job_id"])
                        self._requests.put(frame)
        except FrameBroken:
            pass
        finally:
            os._exit(0)  # the model's own threads may be deep in a step; nobody is left to tell


def main(pack_dir: Path) -> int:
    """Load the model and draw until standard input ends."""
    if sys.platform == "linux":
        # A call that hangs with the interpreter locked keeps the mailbox from noticing, and the memory from the next.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Ctrl-C reaches the whole terminal; the worker decides what becomes of a drawing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Frames go out on a private copy: whatever a library prints must not end up between them.
    frames_out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads starve the worker on a busy machine
    one_at_a_time = threading.Lock()

    def send(frame: Frame) -> None:
        with one_at_a_time:
            write(frames_out, frame)

    mailbox = _Mailbox(os.fdopen(os.dup(0), "rb"))  # not sys.stdin, which the interpreter locks when it ends
    started = time.monotonic()
    try:
        illustrator = _load(pack_dir, mailbox, send, started)
    except SetupError as error:
        is_passing = isinstance(error, ObjectStoreUnreachable)
        send(Frame("refused", {"message": error.message, "is_passing": is_passing}))
        return error.exit_code
    send(Frame("ready"))
    while _answer(mailbox.next(), illustrator, mailbox, send):
        pass
    return 1


def _load(pack_dir: Path, mailbox: _Mailbox, send: Callable[[Frame], None], started: float) -> Pipeline:
    settings = load_settings()
    from onbrand.hidream.load import Stage, load_pipeline  # seconds of imports

    def report(stage: Stage) -> None:
        send(Frame("stage", {"name": stage.name, "seconds": round(stage.seconds, 2), "size": stage.size}))

    def read_ahead(encode: Callable[[str], object]) -> None:
        mailbox.read_ahead(encode)
        send(Frame("reading"))

    report(Stage("imports", time.monotonic() - started, 0))
    return load_pipeline(
        configured_base(settings),
        load_pack(pack_dir),
        precision=settings.precision,
        prepared_folder=derived_folder(settings),
        cache=settings.data_dir / "cache",
        on_plan=lambda text: send(Frame("plan", {"text": text})),
        on_stage=report,
        on_encoder=read_ahead,
    )


def _answer(request: Frame, illustrator: Pipeline, mailbox: _Mailbox, send: Callable[[Frame], None]) -> bool:
    """Draw what is asked for. False: this process can't draw any more."""
    job_id, prompt, seeds = (request.fields[name] for name in ("job_id", "prompt", "seeds"))

    def report(progress: Progress) -> None:
        send(to_frame(job_id, progress))

    try:
        drawing = illustrator.draw(prompt, seeds, report, lambda: mailbox.is_stopped(job_id))
    except JobFailure as failure:
        send(Frame("failed", {"job_id": job_id, "code": failure.code, "reason": type(failure.__cause__).__name__}))
        return True
    except Exception as error:  # whatever the model raises costs this attempt, not the process
        send(Frame("failed", {"job_id": job_id, "code": ModelFailed.code, "reason": type(error).__name__}))
        return illustrator.can_draw()
    provenance = (illustrator.provenance(seed, seeds, job_id) for seed in seeds)
    with ThreadPoolExecutor(len(seeds)) as pool:  # zlib releases the interpreter
        for n, png in enumerate(pool.map(encode, drawing.pixels, provenance), start=1):
            send(Frame("image", {"job_id": job_id, "n": n}, png))
    send(Frame("drawn", {"job_id": job_id, "prompt_ignored": drawing.ignored}))
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
