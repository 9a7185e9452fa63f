"""Logging: one line per change of state, a sentence for people and a stable `action` for machines.

No line holds a prompt, a token or a key. Besides the sentence, a line has only the three fields below and what `extra`
names.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from onbrand.config import Environment, LogFormat, Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
worker_id: ContextVar[str | None] = ContextVar("worker_id", default=None)

#: Every `action` a line may carry, with what it means.
ACTIONS = {
    "answer_error": "a request failed on our side",
    "answer_request": "a request was answered (debug)",
    "budget_low": "four fifths of the money for GPUs are spent in this month",
    "card_damaged": "a picture of a review does not match its checksum",
    "claim_job": "a worker took the next attempt at a job",
    "collect": "stored images that belong to no result were deleted",
    "collect_held": "so many stored images belong to no job that none was deleted",
    "database_lost": "the database did not answer",
    "delete_job": "a job and its images were deleted because its retention time is over",
    "deliver_again": "the sweep delivered waiting jobs whose queue entry was lost",
    "expire": "jobs were deleted because their retention time is over",
    "expire_held": "so many jobs are due for deletion at once that the deletion waits",
    "expire_overdue": "jobs should have been deleted a day ago",
    "fail_attempt": "an attempt produced no images",
    "fail_late": "the sweep failed jobs that took or waited too long",
    "give_back": "a stopping worker handed its attempt back",
    "gpu_starts_failed": "three GPUs in a row were started and did not become ready",
    "image_corrupt": "a stored image does not match its checksum",
    "image_missing": "the store no longer has images of complete jobs",
    "keys_refresh_failed": "the identity provider's signing keys could not be refreshed",
    "keys_loaded": "the identity provider's signing keys were loaded",
    "migrate": "the database's schema was changed",
    "migrate_wait": "a change of the schema waits for a table that is in use",
    "model_lost": "the model process ended by itself or stopped answering",
    "model_output": "the model process printed something, such as a library's warning",
    "model_ready": "the model is loaded",
    "model_plan": "in which precision, and in which memory, a model is going to be loaded",
    "model_stage": "a part of loading the model has ended; the line has its seconds",
    "model_start": "a model process was started",
    "pack_refused": "a worker could not change to the live brand pack, and goes on drawing with the one before",
    "publish_job": "four images became a job's result",
    "rendition_failed": "a picture has no rendition: it could not be made, or is damaged in the store",
    "restart": "the supervisor starts a process again",
    "review_verdict": "a designer has answered a review of a brand pack",
    "start": "a process starts",
    "stop": "a process stops",
    "store_back": "the image store answers again",
    "store_lost": "the image store did not answer",
    "style_pictures_failed": "the pictures of the live style can't be read from the object store",
    "submit_job": "a job was accepted",
    "switch_pack": "a worker changes to another brand pack",
    "sweep": "jobs with a lapsed lease were requeued or failed",
    "sweep_failed": "a round of maintenance had an unforeseen error",
    "system_ready": "everything runs",
    "take_back": "a designer rejected the live brand pack, so the one before it is live again",
    "wait_for_pack": "`onbrand up` waits for the first brand pack of a model that has none",
    "warm": "a GPU is asked for, because somebody may generate",
    "worker_stale": "a worker noticed that its attempt is no longer its own",
}

_REPEAT_SECONDS = 60.0
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


def configure(settings: Settings, process: str) -> None:
    """Send all logging of this process to standard error, in the format that `ONBRAND_LOG_FORMAT` names."""
    chosen = settings.log_format or (LogFormat.JSON if settings.env is Environment.PRODUCTION else LogFormat.TEXT)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if chosen is LogFormat.JSON else TextFormatter(process))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # Procrastinate logs each delivery with its arguments, and a traceback for each lost connection.
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    # Only the pool knows why there is no connection (such as a wrong password), but it logs that at every attempt.
    logging.getLogger("psycopg.pool").addFilter(_Repetitions())
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # anybody's bad requests cause its warnings


class _Repetitions(logging.Filter):
    """Drops a line that repeats the line before it, for a minute, and makes one line of a text that has several."""

    def __init__(self) -> None:
        super().__init__()
        self._last = ("", float("-inf"))

    def filter(self, record: logging.LogRecord) -> bool:
        message, (last, at) = " ".join(record.getMessage().split()), self._last
        record.msg, record.args = message, ()
        if message == last and record.created - at < _REPEAT_SECONDS:
            return False
        self._last = (message, record.created)
        return True


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    context = {"request_id": request_id.get(), "job_id": job_id.get(), "worker_id": worker_id.get()}
    extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    return {key: value for key, value in (context | extra).items() if value is not None}


class JsonFormatter(logging.Formatter):
    """Each line is one JSON object, so that no text can forge a second line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process,
            "message": record.getMessage(),
        } | _fields(record)
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A readable line for a terminal: time, process, sentence, and the job's first digits.

    Unprintable characters are escaped and tracebacks are indented, so that no text can look like another line.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        job = f"  [job {str(fields['job_id'])[:8]}]" if "job_id" in fields else ""
        sentence = f"{level}{record.getMessage()}{job}"
        line = f"{datetime.fromtimestamp(record.created):%H:%M:%S}  {self._process:<8}  {_printable(sentence)}"
        if record.exc_info and record.exc_info[0] is not None:
            traced = "".join(traceback.format_exception(*record.exc_info))
            line += "".join(f"\n    {_printable(part)}" for part in traced.splitlines())
        return line


def _printable(text: str) -> str:
    """The text with line breaks, escape sequences, bidi controls and the like written as escapes."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
