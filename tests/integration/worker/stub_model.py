"""A double of the model process: it speaks the frames of `onbrand/worker/child.py`, and misbehaves when told to.

    python stub_model.py NOTES_DIR [LOADING [PACK_DIR]]

The words of a prompt say what happens while it is drawn; words after `once` count only at a job's first attempt:

    slow  sluggish      0.2 s or 0.7 s for each of the seven steps instead of 0.01 s
    pace=SECONDS        so many seconds for each step
    hang@K  kill@K      at step K: hang for ever, SIGKILL
    segv@K  oom@K       at step K: SIGSEGV, no memory left
    garbage@K  alien@K  at step K: bytes that are no frame, a frame about another job
    three five twice    three or five images, or the last one twice
    small plain torn    images of 512 pixels, of one colour, cut in half
    previews=whole      with each step four previews; or `three`, `torn`, `huge`, `other`, `negative`, `words`
    prints              lines on standard error, one of them long
    cut                 SIGKILL in the middle of the second image's frame
    fails=CODE          a failure in place of images

LOADING says how loading goes: `dies`, `dies-once`, `dies-again` (from the second time on), `slow-again`, `away-once`,
`refuses`, `babbles`, `hangs` or `reads` (not ready before it got a `read` frame). A brand pack with the name `dies`,
`refuses`, `hangs` or `slow` makes loading go so. What happens, and with which pack, is written to NOTES_DIR/notes.
"""

from __future__ import annotations

import os
import queue
import resource
import signal
import struct
import sys
import threading
import time
import zlib
from contextlib import suppress
from pathlib import Path

from onbrand.packs.manifest import load_pack
from onbrand.worker import frames
from onbrand.worker.frames import Frame, read, write

STEPS = 6
NOTES = Path(sys.argv[1]) / "notes"
IN = os.fdopen(os.dup(0), "rb")
OUT = os.fdopen(os.dup(1), "wb", buffering=0)


def note(line: str) -> int:
    """Write a line to the notes; returns how often it has been written, including this time."""
    with NOTES.open("a") as notes:
        notes.write(line + "\n")
    return NOTES.read_text().splitlines().count(line)


def die(number: int = signal.SIGKILL) -> None:
    """Die by a signal, like a process that the out-of-memory killer ends."""
    os.kill(os.getpid(), number)
    signal.pause()


def load(how: str) -> None:
    """Load as `how` says."""
    times = note("load")
    if how == "dies" or (how == "dies-once" and times == 1) or (how == "dies-again" and times > 1):
        die()
    if how == "away-once" and times == 1:
        write(OUT, Frame("refused", {"message": "The weights can't be reached.", "is_passing": True}))
        sys.exit(1)
    if how == "refuses":
        write(OUT, Frame("refused", {"message": "The brand pack's file lora differs from its checksum: restore it."}))
        sys.exit(78)
    if how == "babbles":
        write(OUT, Frame("progress", {"job_id": "none"}))
    if how == "reads":
        write(OUT, Frame("plan", {"text": "held in the stub"}))
        write(OUT, Frame("stage", {"name": "encoders", "seconds": 1.5, "size": 2_000_000_000}))
        write(OUT, Frame("reading"))
        while "read" not in NOTES.read_text():
            time.sleep(0.01)
    if how == "hangs" or how == "babbles":
        signal.pause()
    if how == "slow" or (how == "slow-again" and times == 2):
        time.sleep(1)
    note(f"ready {os.getpid()}")
    write(OUT, Frame("ready"))


def listen(requests: queue.SimpleQueue[Frame], stopped: set[str]) -> None:
    """Like the real model process: `stop` takes effect at once, and the end of standard input ends the process."""
    while (frame := read(IN)) is not None:
        if frame.kind == "stop":
            stopped.add(frame.fields["job_id"])
        elif frame.kind == "read":
            note(f"read {frame.fields['prompt']}")
        else:
            stopped.discard(frame.fields["job_id"])
            requests.put(frame)
    os._exit(0)


def draw(request: Frame, stopped: set[str]) -> None:
    """Answer one request as its prompt says."""
    job_id, prompt, seeds = (request.fields[name] for name in ("job_id", "prompt", "seeds"))
    always, _, once = prompt.partition("once")
    words = set(always.split()) | set(once.split() if note(f"draw {job_id}") == 1 else ())
    pace = 0.7 if "sluggish" in words else 0.2 if "slow" in words else 0.01
    for word in words:
        if word.startswith("pace="):
            pace = float(word.removeprefix("pace="))
    write(OUT, Frame("progress", {"job_id": job_id, "phase": "encoding", "step": 0, "steps": 0}))
    for step in range(STEPS + 1):
        if job_id in stopped:
            note(f"stopped {job_id} {step}")
            write(OUT, Frame("failed", {"job_id": job_id, "code": "cancelled", "reason": "NoneType"}))
            return
        time.sleep(pace)
        if f"hang@{step}" in words:
            note(f"hang {job_id}")
            signal.pause()
        if f"kill@{step}" in words:
            die()
        if f"segv@{step}" in words:
            die(signal.SIGSEGV)
        if f"oom@{step}" in words:
            resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))
            bytearray(2**29)
        if f"garbage@{step}" in words:
            OUT.write(b"Traceback (most recent call last):\n")
        about = "another" if f"alien@{step}" in words else job_id
        sizes, jpegs = previews(step, words)
        fields = {"job_id": about, "phase": "drawing", "step": step, "steps": STEPS, "previews": sizes}
        write(OUT, Frame("progress", fields, jpegs))
    if "prints" in words:
        sys.stderr.write("a library's \\ warning\n\n" + "x" * 2000 + "\n")
        sys.stderr.flush()
    for word in words:
        if word.startswith("fails="):
            code = word.removeprefix("fails=")
            write(OUT, Frame("failed", {"job_id": job_id, "code": code, "reason": "RuntimeError"}))
            return
    numbers = [1, 2, 3] if "three" in words else [1, 2, 3, 4, 5] if "five" in words else [1, 2, 3, 4]
    for n in [*numbers, 4] if "twice" in words else numbers:
        frame = Frame("image", {"job_id": job_id, "n": n}, picture(seeds[n % 4], words))
        if "cut" in words and n == 2:
            OUT.write(frames.pack(frame)[:1000])
            die()
        write(OUT, frame)
    write(OUT, Frame("drawn", {"job_id": job_id, "prompt_ignored": 0}))


def previews(step: int, words: set[str]) -> tuple[object, bytes]:
    """The sizes and bytes of four small stand-ins for JPEG files, with the flaw that the words ask for."""
    flaw = next((word.removeprefix("previews=") for word in words if word.startswith("previews=")), None)
    if flaw is None:
        return [], b""
    jpegs = [b"\xff\xd8\xff" + bytes([step, n]) + b"\xff\xd9" for n in range(3 if flaw == "three" else 4)]
    if flaw == "huge":
        jpegs[1] = jpegs[1][:3] + bytes(10**6) + jpegs[1][3:]
    if flaw == "other":
        jpegs[2] = b"<svg onload=''/>"
    sizes = [len(jpeg) for jpeg in jpegs]
    if flaw == "negative":
        sizes = [-sizes[0], 3 * sizes[0], sizes[2], sizes[3]]
    joined = b"".join(jpegs)
    return "all of it" if flaw == "words" else sizes, joined[:-1] if flaw == "torn" else joined


def picture(seed: int, words: set[str]) -> bytes:
    """A PNG file whose upper half has the seed's colour, with the flaw that the words ask for."""
    size = 512 if "small" in words else 1024
    colours = [b"\xff\xff\xff" if "plain" in words else seed.to_bytes(8, "big")[-3:], b"\xff\xff\xff"]
    rows = b"".join((b"\0" + colour * size) * (size // 2) for colour in colours)  # each row begins with its filter
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)  # 8 bits, RGB
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(data)) + kind + data for kind, data in parts]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk + struct.pack(">I", zlib.crc32(chunk[4:])) for chunk in chunks)
    return png[: len(png) // 2] if "torn" in words else png


def main() -> None:
    requests: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    stopped: set[str] = set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=listen, args=(requests, stopped), daemon=True).start()
    pack = load_pack(Path(sys.argv[3])) if len(sys.argv) > 3 else None
    loading = sys.argv[2] if len(sys.argv) > 2 else ""
    if pack is not None and pack.manifest.name in ("dies", "refuses", "hangs", "slow"):
        loading = pack.manifest.name
    load(loading)
    while True:
        request = requests.get()
        if pack is not None:
            note(f"with {pack.id} {request.fields['job_id']}")
        draw(request, stopped)


if __name__ == "__main__":
    with suppress(BrokenPipeError):  # its worker is gone
        main()
