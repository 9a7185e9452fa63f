"""The smallest HTTP client that can stand for a person: `http.client` on one kept-alive connection.

A request costs it about 0.1 ms of its own, so what is measured is Onbrand's time.
"""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back, and how long that took from the first byte sent to the last one read."""

    status: int
    body: Any
    milliseconds: float


class Client:
    """One person at one API."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """One request; any answer is fine."""
        sent = None if body is None else json.dumps(body)
        started = time.perf_counter()
        self._connection.request(method, path, sent, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        milliseconds = (time.perf_counter() - started) * 1000
        return Answer(response.status, json.loads(content), milliseconds)

    def submit(self, prompt: str) -> tuple[str, float]:
        """The job's id, and the milliseconds until it was acknowledged."""
        answer = self.ask("POST", "/generate", {"prompt": prompt})
        assert answer.status == 202, answer.body
        return answer.body["job_id"], answer.milliseconds

    def look(self, job_id: str) -> tuple[dict[str, Any], float]:
        """The job, and the milliseconds that took."""
        answer = self.ask("GET", f"/jobs/{job_id}")
        assert answer.status == 200, answer.body
        return answer.body, answer.milliseconds

    def cancel(self, job_id: str) -> None:
        answer = self.ask("DELETE", f"/jobs/{job_id}")
        assert answer.status == 200, answer.body
