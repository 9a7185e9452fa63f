"""The model process: `python -m onbrand.worker.child WEIGHTS_DIR`. Owns the model and nothing else.

It knows no database, no store and no user. What it is told and tells are frames on standard input and output:

    in   draw {job_id, prompt, seeds}   stop {job_id}
    out  ready {}                        the model is loaded
         refused {message}               the weights can't be loaded; the process ends
         progress {job_id, phase, step, steps, previews} + JPEGs, whose sizes `previews` tells
         image {job_id, n} + PNG         four of them, then
         drawn {job_id, prompt_truncated}
         failed {job_id, code, reason}   instead of images; `stop` answers with the code of Cancelled

When standard input ends, the worker is gone and the process ends with it. On Linux it does so even while it hangs.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from onbrand.errors import JobFailure, ModelFailed, SetupError
from onbrand.job import Progress
from onbrand.packs import load_pack
from onbrand.png import Provenance, encode
from onbrand.worker.frames import Frame, FrameBroken, read, write
from onbrand.worker.reports import to_frame

if TYPE_CHECKING:
    from onbrand.hidream.illustrator import Illustrator

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _Mailbox:
    """Reads standard input in a thread: one request at a time for the model, and stops that overtake it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._requests: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._stopped: set[str] = set()
        threading.Thread(target=self._listen, name="mailbox", daemon=True).start()

    def next(self) -> Frame:
        """Wait for the next request."""
        return self._requests.get()

    def is_stopped(self, job_id: str) -> bool:
        """Whether the worker no longer wants this job."""
        return job_id in self._stopped

    def _listen(self) -> None:
        try:
            while (frame := read(self._stream)) is not None:
                if frame.kind == "stop":
                    self._stopped.add(frame.fields["job_id"])
                else:
                    self._stopped.discard(frame.fields["job_id"])
                    self._requests.put(frame)
        except FrameBroken:
            pass
        finally:
            os._exit(0)  # the model's own threads may be deep in a step; nobody is left to tell


def main(weights_dir: Path) -> int:
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

    def send(frame: Frame) -> None:
        write(frames_out, frame)

    mailbox = _Mailbox(os.fdopen(os.dup(0), "rb"))  # not sys.stdin, which the interpreter locks when it ends
    try:
        from onbrand.hidream.load import load_illustrator

        illustrator = load_illustrator(load_pack(weights_dir))
    except SetupError as error:
        send(Frame("refused", {"message": error.message}))
        return error.exit_code
    send(Frame("ready"))
    while True:
        _answer(mailbox.next(), illustrator, mailbox, send)


def _answer(request: Frame, illustrator: Illustrator, mailbox: _Mailbox, send: Callable[[Frame], None]) -> None:
    job_id, prompt, seeds = (request.fields[name] for name in ("job_id", "prompt", "seeds"))

    def report(progress: Progress) -> None:
        send(to_frame(job_id, progress))

    try:
        drawing = illustrator.draw(prompt, seeds, report, lambda: mailbox.is_stopped(job_id))
    except JobFailure as failure:
        send(Frame("failed", {"job_id": job_id, "code": failure.code, "reason": type(failure.__cause__).__name__}))
        return
    except Exception as error:  # whatever the model raises costs this attempt, not the process
        send(Frame("failed", {"job_id": job_id, "code": ModelFailed.code, "reason": type(error).__name__}))
        return
    pack_, model = illustrator.pack, illustrator.model
    with ThreadPoolExecutor(len(seeds)) as pool:  # zlib releases the interpreter
        provenance = (Provenance(pack_.id, pack_.name, pack_.version, model, seed, job_id) for seed in seeds)
        for n, png in enumerate(pool.map(encode, drawing.pixels, provenance), start=1):
            send(Frame("image", {"job_id": job_id, "n": n}, png))
    send(Frame("drawn", {"job_id": job_id, "prompt_truncated": drawing.prompt_truncated}))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
