"""The model process: `python -m onbrand.worker.child PACK_DIR`. It owns the model and nothing else.

The settings say where the model's weights are. The process knows no database and no user. It talks with the worker in
frames on standard input and output:

    in   read {prompt}                   this prompt is drawn next: encode it while the transformer still loads
         draw {job_id, prompt, seeds}    draw four images
         stop {job_id}                   stop drawing this job
    out  plan {text}                     in which precision, and in which memory, the model will be loaded
         stage {name, seconds, size}     a part of loading has ended; size in bytes
         reading {}                      the text encoders are loaded: from now on `read` is useful
         ready {}                        the model is loaded
         refused {message, is_passing}   the weights can't be loaded, and the process ends; is_passing: try again later
         progress {job_id, phase, step, steps, previews} + JPEG files, whose sizes in bytes are in `previews`
         image {job_id, n} + PNG file    four of them, then
         drawn {job_id, prompt_ignored}
         failed {job_id, code, reason}   instead of images; after `stop`, the code is that of Cancelled

When standard input ends, the worker is gone and this process ends too; on Linux even while it hangs. It also ends after
`failed` when the GPU has refused an operation, because then the GPU refuses all later operations of this process.
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

_NICENESS = 10  # a busy API gets nine times the processor time of a drawing, and any time that it asks for at once
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class _Mailbox:
    """Reads standard input in a thread. `draw` frames wait for the model; `stop` and `read` frames work at once."""

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
        """From now on, encode the prompt of each `read` frame in a thread of its own."""

        def read_prompts() -> None:
            while True:
                # A prompt that fails here fails again when it is drawn, and is reported there.
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
            os._exit(0)  # at once: the model's threads may be in the middle of a step, and nobody waits for the result


def main(pack_dir: Path) -> int:
    """Load the model and draw until standard input ends."""
    if sys.platform == "linux":
        # A call that hangs while it has the interpreter's lock stops the mailbox's thread, too. Then only this signal
        # ends the process, and frees the memory for the next one.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Ctrl-C reaches all processes of the terminal; the worker decides whether the drawing is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Frames are written to a copy of standard output: what a library prints must not get between them.
    frames_out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # On a busy machine, spinning threads would leave the worker no CPU time.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    one_at_a_time = threading.Lock()

    def send(frame: Frame) -> None:
        with one_at_a_time:
            write(frames_out, frame)

    mailbox = _Mailbox(os.fdopen(os.dup(0), "rb"))  # not sys.stdin: the interpreter locks it at its shutdown
    started = time.monotonic()
    try:
        pipeline = _load(pack_dir, mailbox, send, started)
    except SetupError as error:
        is_passing = isinstance(error, ObjectStoreUnreachable)
        send(Frame("refused", {"message": error.message, "is_passing": is_passing}))
        return error.exit_code
    send(Frame("ready"))
    while _answer(mailbox.next(), pipeline, mailbox, send):
        pass
    return 1


def _load(pack_dir: Path, mailbox: _Mailbox, send: Callable[[Frame], None], started: float) -> Pipeline:
    settings = load_settings()
    from onbrand.hidream.load import Stage, find_device, load_pipeline  # here, because importing torch takes seconds

    if find_device().type == "cpu":
        _let_others_go_first()

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


def _let_others_go_first() -> None:
    """The API, PostgreSQL and the worker's heartbeat need the same cores, little and at once.

    Threads that are made from now on inherit the niceness. Where Linux shares the cores among sessions (autogroup, see
    sched(7)), it counts only within its session, and the session has a niceness of its own. So the process leaves the
    worker's session.
    """
    os.nice(_NICENESS)
    with suppress(PermissionError):  # it has a session of its own already
        os.setsid()
    with suppress(OSError):  # there is no autogroup
        Path("/proc/self/autogroup").write_text(str(_NICENESS))


def _answer(request: Frame, pipeline: Pipeline, mailbox: _Mailbox, send: Callable[[Frame], None]) -> bool:
    """Draw what a `draw` frame asks for. False: this process can't draw any more."""
    job_id, prompt, seeds = (request.fields[name] for name in ("job_id", "prompt", "seeds"))

    def report(progress: Progress) -> None:
        send(to_frame(job_id, progress))

    try:
        drawing = pipeline.draw(prompt, seeds, report, lambda: mailbox.is_stopped(job_id))
    except JobFailure as failure:
        send(Frame("failed", {"job_id": job_id, "code": failure.code, "reason": type(failure.__cause__).__name__}))
        return True
    except Exception as error:  # any error of the model ends this attempt, not the process
        send(Frame("failed", {"job_id": job_id, "code": ModelFailed.code, "reason": type(error).__name__}))
        return pipeline.can_draw()
    provenance = (pipeline.provenance(seed, seeds, job_id) for seed in seeds)
    with ThreadPoolExecutor(len(seeds)) as pool:  # zlib releases the interpreter's lock
        for n, png in enumerate(pool.map(encode, drawing.pixels, provenance), start=1):
            send(Frame("image", {"job_id": job_id, "n": n}, png))
    send(Frame("drawn", {"job_id": job_id, "prompt_ignored": drawing.ignored}))
    return True


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
