"""The worker's side of the model process: start it, talk to it, notice its end, start it again.

A crash, a hang or an out-of-memory kill of the model costs one attempt at one job and the time to load the model again.
The worker itself goes on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

from onbrand.errors import GenerationTimedOut, ModelProcessDied, ModelRefused, WorkerLost
from onbrand.jobs.models import Claim
from onbrand.worker.frames import Frame, FrameBroken, pack, read_async

logger = logging.getLogger(__name__)

_LOAD_SECONDS = 1800.0  # enough for 62 GB at 40 MB/s, a very slow store
_LOAD_ATTEMPTS = 3
_PAUSE_SECONDS = 1.0
_ENDING_SECONDS = 0.5
_STREAM_LIMIT = 16 * 1024 * 1024
_LONGEST_LINE = 500  # characters of a library's output that are logged


def model_command(pack_dir: Path) -> list[str]:
    """The command that runs `child` with a brand pack. The environment names the base model."""
    return [sys.executable, "-m", "onbrand.worker.child", str(pack_dir)]


async def _no_prompt() -> None:
    """No job is queued."""


class ModelProcess:
    """One model process at a time. `command` starts a program that speaks the frames that `child` describes.

    `next_prompt` is called once the text encoders are loaded: its prompt is encoded while the rest of the model loads.
    """

    def __init__(
        self, command: Sequence[str] = (), next_prompt: Callable[[], Awaitable[str | None]] = _no_prompt
    ) -> None:
        self._command = command
        self._next_prompt = next_prompt
        self._process: asyncio.subprocess.Process | None = None
        self._is_ready = False
        self._starting = asyncio.Lock()
        self._listening: asyncio.Task[None] | None = None
        self.changed = asyncio.Event()  # set whenever `is_ready` may have changed; the reader clears it

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded and its process alive."""
        return self._is_ready and self._process is not None and self._process.returncode is None

    async def ensure_ready(self) -> None:
        """Return once a model is loaded, starting a process if there is none.

        Raises:
            ModelRefused: the process cannot load the model; trying again would not help.
            ModelProcessDied: the process died several times while it loaded the model.
        """
        async with self._starting:
            for attempt in range(1, _LOAD_ATTEMPTS + 1):
                if attempt > 1:
                    await asyncio.sleep(_PAUSE_SECONDS)
                if self.is_ready or await self._start():
                    return
                await self.stop(ending_seconds=_ENDING_SECONDS)
                logger.warning(
                    "The model process died while loading (%d of %d)",
                    attempt,
                    _LOAD_ATTEMPTS,
                    extra={"action": "model_lost"},
                )
        raise ModelProcessDied("The model process died each time it was loaded. Is there enough memory?")

    async def use(self, command: Sequence[str]) -> None:
        """From now on start this command. The process of the previous command is ended."""
        async with self._starting:
            self._command = command
            await self.stop()

    async def _start(self) -> bool:
        await self.stop(ending_seconds=_ENDING_SECONDS)
        started = time.monotonic()
        logger.info("Loading the model", extra={"action": "model_start"})
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_STREAM_LIMIT,
            )
            self._listening = asyncio.create_task(self._log_until_end(self._process))
            async with asyncio.timeout(_LOAD_SECONDS):
                frame = await self._loaded()
        except (FrameBroken, OSError, TimeoutError):  # OSError: the system has no memory or no process left
            return False
        match frame:
            case Frame("ready"):
                pass
            case Frame("refused", {"message": str(message), "is_passing": True}):
                logger.warning("%s", message, extra={"action": "store_lost"})
                return False
            case Frame("refused", {"message": str(message)}):
                raise ModelRefused(message)
            case _:
                return False
        self._is_ready = True
        self.changed.set()
        seconds = round(time.monotonic() - started, 1)
        logger.info("The model is loaded (%.1f s)", seconds, extra={"action": "model_ready", "seconds": seconds})
        return True

    async def _log_until_end(self, process: asyncio.subprocess.Process) -> None:
        """Log what a process prints, and its end if nobody asked for it (such as a kill while nothing is drawn)."""
        await _log_output(process)
        code = await process.wait()
        if process is self._process:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            logger.warning(
                "The model process ended by itself (%s)", how, extra={"action": "model_lost", "exit_code": code}
            )

    async def _loaded(self) -> Frame | None:
        """The frame that ends loading. Frames before it are logged; `reading` is answered with the next prompt."""
        while True:
            match frame := await self._receive():
                case Frame("stage", {"name": str(name), "seconds": float(seconds), "size": int(size)}):
                    rate = f", {size / 1e9:.2f} GB" if size else ""
                    logger.info(
                        "Loading: %s took %.1f s%s",
                        name,
                        seconds,
                        rate,
                        extra={"action": "model_stage", "stage": name, "seconds": seconds, "bytes": size},
                    )
                case Frame("plan", {"text": str(text)}):
                    logger.info("%s", text, extra={"action": "model_plan"})
                case Frame("reading"):
                    if (prompt := await self._next_prompt()) is not None:
                        await self._send(Frame("read", {"prompt": prompt}))
                case _:
                    return frame

    async def draw(self, claim: Claim, *, patience_seconds: float) -> AsyncGenerator[Frame, None]:
        """Have a claim drawn. Yields the frames about it, up to `drawn` or `failed`.

        Close the generator (`contextlib.aclosing`). If it is closed before its last frame, the process is killed:
        otherwise the remaining frames would look like answers to the next claim.

        Raises:
            WorkerLost: the process died, or sent something that is not a frame about this job.
            GenerationTimedOut: the process sent nothing for `patience_seconds`, and was killed.
        """
        job_id = str(claim.job_id)
        is_over, ending_seconds = False, 0.0
        try:
            await self._send(Frame("draw", {"job_id": job_id, "prompt": claim.prompt, "seeds": claim.seeds}))
            while not is_over:
                async with asyncio.timeout(patience_seconds):
                    frame = await self._receive()
                if frame is None or frame.fields.get("job_id") != job_id:
                    raise FrameBroken
                is_over = frame.kind in ("drawn", "failed")
                yield frame
        except TimeoutError:
            logger.warning("The model made no progress and was killed", extra={"action": "model_lost"})
            raise GenerationTimedOut from None
        except (FrameBroken, OSError):
            ending_seconds = _ENDING_SECONDS
            logger.warning("The model process died while drawing", extra={"action": "model_lost"})
            raise WorkerLost from None
        finally:
            if not is_over:
                await self.stop(ending_seconds=ending_seconds)

    async def stop_drawing(self, claim: Claim) -> None:
        """Ask the process to stop drawing at its next step. Does nothing if the process is gone."""
        with suppress(OSError):
            await self._send(Frame("stop", {"job_id": str(claim.job_id)}))

    async def stop(self, *, ending_seconds: float = 0.0) -> None:
        """Wait until the process is gone; it is killed unless it ends by itself within `ending_seconds`."""
        process, self._process, self._is_ready = self._process, None, False
        self.changed.set()
        if process is None:
            return
        # A process whose pipe has ended is about to exit by itself; a kill at that moment would hide its exit code.
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(ending_seconds):
                    await process.wait()
        finally:  # also when the caller is cancelled
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        await process.wait()
        if self._listening is not None:
            # Log its output to the end, but with a time limit: a child of the process may still have the pipe open.
            await asyncio.wait({self._listening}, timeout=_ENDING_SECONDS)
            self._listening.cancel()

    async def _send(self, frame: Frame) -> None:
        if self._process is None or self._process.stdin is None:
            raise BrokenPipeError
        self._process.stdin.write(pack(frame))
        await self._process.stdin.drain()

    async def _receive(self) -> Frame | None:
        if self._process is None or self._process.stdout is None:
            return None
        return await read_async(self._process.stdout)


async def _log_output(process: asyncio.subprocess.Process) -> None:
    """Log what the libraries print to standard error, each line as one log line. Ends with the process."""
    if process.stderr is None:
        return
    while True:
        try:
            line = await process.stderr.readline()
        except ValueError:  # the line is longer than the stream's limit, and is dropped
            continue
        if not line:
            return
        if text := line.decode(errors="replace").strip()[:_LONGEST_LINE]:
            logger.warning("The model process says: %s", text, extra={"action": "model_output"})
