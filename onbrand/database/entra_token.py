"""Tokens of a managed identity, which PostgreSQL on Azure takes for a password.

The request is the one of https://learn.microsoft.com/azure/app-service/overview-managed-identity for container apps and
app services, and of https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
for virtual machines. No token and no secret is in an error or in the log.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import psycopg

from onbrand.config import ManagedIdentity

RESOURCE = "https://ossrdbms-aad.database.windows.net"  # what a token for PostgreSQL is issued for
EARLY_SECONDS = 300.0  # before a token ends, another one is asked for
_ANSWER_SECONDS = 4.0  # for each step of one request
_PAUSE_SECONDS = 1.0  # between two requests, also if the server refuses every token
_LONG_PAUSE_SECONDS = 30.0  # the same after a failure, while the token at hand is still good
_MOST_BYTES = 100_000  # a token has about 2 kB


class TokenUnavailable(psycopg.OperationalError):
    """The managed identity gave no token. For everybody who connects, it is as if the database did not answer."""

    def __init__(self, reason: str, advice: str, *, may_pass: bool) -> None:
        super().__init__(f"the managed identity gives no token for the database: {reason}. {advice}")
        self.reason = reason
        self.advice = advice
        self.may_pass = may_pass  # asking again may help


@dataclass(frozen=True)
class _Token:
    text: str
    ends_at: float  # seconds since 1970
    fetched_at: float  # by the monotonic clock


class Tokens:
    """The tokens of one identity. It may be shared between threads: one asks, and the others wait for its answer.

    `clock` is the time in seconds since 1970, `steady` a monotonic clock in seconds.
    """

    def __init__(
        self,
        identity: ManagedIdentity,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._steady = steady
        self._lock = threading.Lock()  # for the fields below
        self._token: _Token | None = None
        self._failure: TokenUnavailable | None = None  # of the latest request
        self._asked_at = float("-inf")  # when the latest request ended

    def get(self) -> str:
        """A token that is good for the next connection. It blocks while the identity's endpoint is asked.

        Raises:
            TokenUnavailable: there is none.
        """
        with self._lock:
            if self._token is not None and self._seconds_left() > EARLY_SECONDS:
                return self._token.text
            if not self._was_just_asked():
                try:
                    self._token, self._failure = self._fetch(), None
                    return self._token.text
                except TokenUnavailable as failure:
                    self._failure = failure
                finally:
                    self._asked_at = self._steady()
            if self._token is not None and self._seconds_left() > 0:
                return self._token.text
            assert self._failure is not None
            # A new one for each caller: a raised exception gathers the frames that it passes.
            raise TokenUnavailable(self._failure.reason, self._failure.advice, may_pass=self._failure.may_pass)

    def _seconds_left(self) -> float:
        return 0.0 if self._token is None else self._token.ends_at - self._clock()

    def _was_just_asked(self) -> bool:
        """Whether the latest answer, good or bad, serves this caller too, who may have waited for it."""
        is_good = self._seconds_left() > 0
        if self._failure is None and not is_good:
            return False
        pause = _LONG_PAUSE_SECONDS if self._failure is not None and is_good else _PAUSE_SECONDS
        return self._steady() - self._asked_at < pause

    def forget(self, token: str) -> None:
        """The server refused this token. Ask for another one, unless this one is brand-new."""
        with self._lock:
            known = self._token
            if known is not None and known.text == token and self._steady() - known.fetched_at >= _PAUSE_SECONDS:
                self._token = None

    def _fetch(self) -> _Token:
        status, body = self._ask()
        if status != 200:
            raise _refusal(status)
        try:
            answer = json.loads(body)
            token, ends_at = answer["access_token"], float(answer["expires_on"])
        except (ValueError, KeyError, TypeError):
            token, ends_at = None, 0.0
        if not isinstance(token, str) or not token or not self._clock() < ends_at < float("inf"):
            raise TokenUnavailable(
                "its endpoint answered with something else than a token that is still good",
                "Check this machine's clock, and what IDENTITY_ENDPOINT names.",
                may_pass=True,
            )
        return _Token(token, ends_at, self._steady())

    def _ask(self) -> tuple[int, bytes]:
        """The status and the body of one request. It goes straight there: through no proxy, and after no redirect."""
        identity, place = self._identity, urlsplit(self._identity.endpoint)
        query = {"resource": RESOURCE, "api-version": "2018-02-01" if identity.secret is None else "2019-08-01"}
        if identity.client_id is not None:
            query["client_id"] = str(identity.client_id)
        headers = {"Metadata": "true"}
        if identity.secret is not None:
            headers = {"X-IDENTITY-HEADER": identity.secret.get_secret_value()}
        kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
        try:
            connection = kind(place.hostname or "", place.port, timeout=_ANSWER_SECONDS)
            try:
                connection.request("GET", f"{place.path}?{urlencode(query)}", headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read(_MOST_BYTES)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError):
            raise TokenUnavailable(
                "its endpoint doesn't answer",
                "Check that this machine has a managed identity, or set ONBRAND_DATABASE_AUTH=password.",
                may_pass=True,
            ) from None


def _refusal(status: int) -> TokenUnavailable:
    if status in (400, 403, 404):
        return TokenUnavailable(
            f"its endpoint refuses the request (HTTP {status})",
            "Correct ONBRAND_DATABASE_CLIENT_ID, and assign that identity to this machine.",
            may_pass=status == 404,  # the answer of a virtual machine whose endpoint is being renewed
        )
    if status == 401:
        return TokenUnavailable(
            "its endpoint refuses this program (HTTP 401)",
            "IDENTITY_ENDPOINT and IDENTITY_HEADER must be those that Azure has set.",
            may_pass=False,
        )
    return TokenUnavailable(f"its endpoint answered HTTP {status}", "Try again in a moment.", may_pass=True)
