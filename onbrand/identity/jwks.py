"""The identity provider's signing keys: fetched with limits, kept during an outage, found by key id.

Nothing here looks at a token; `tokens` does.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from onbrand.config import LOOPBACK_HOSTS, Directory
from onbrand.errors import KeysUnavailable

FETCH_SECONDS = 5.0  # for both documents together, from the first byte sent to the last received
HESITATION_SECONDS = 1.5  # after this part of a fetch, a request with an unknown key id waits no longer for it
MAX_ANSWER_BYTES = 1_000_000  # Entra's key set has about 15 kB
FRESH_SECONDS = 3600.0  # older keys still serve, and the next token starts a fetch without waiting for it
USABLE_SECONDS = 24 * 3600.0  # how long keys serve while the provider does not answer
PAUSE_SECONDS = 5.0  # between the starts of two fetches, also if a client sends many unknown key ids
_OUTAGE_PAUSE_SECONDS = 30.0  # the same after a fetch that failed
_FIRST_PAUSE_SECONDS = 1.0  # the same while there are no keys and every request gets a 503
_MOST_WAITING = 8  # threads that wait for a fetch because of an unknown key id; routes have 40 threads in all
_MIN_RSA_BITS = 2048
# Entra's key ids are base64url thumbprints. Any other text can't be one of them, and never causes a fetch.
_KEY_ID = re.compile(r"[A-Za-z0-9_.=-]{1,256}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SigningKey:
    """A public key, and the one issuer whose tokens it may sign."""

    public: RSAPublicKey
    issuer: str


@dataclass(frozen=True)
class _KeySet:
    keys: dict[str, SigningKey]
    fetched_at: float


class SigningKeys:
    """The provider's current keys; safe to share between threads.

    `clock` is a monotonic clock in seconds. Fetches run in a thread of their own, one at a time. So a caller waits at
    most `FETCH_SECONDS`, and a caller whose key is known does not wait at all. While there are keys, few callers with
    an unknown key id wait, and for `HESITATION_SECONDS`: a provider that hangs must not hold the threads of requests.
    """

    def __init__(self, directory: Directory, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._set: _KeySet | None = None
        self._lock = threading.Lock()  # for the fields below
        self._tried_at = float("-inf")
        self._has_failed = False  # the latest fetch
        self._fetched = threading.Event()
        self._fetched.set()
        self._places = threading.BoundedSemaphore(_MOST_WAITING)

    @property
    def loaded(self) -> bool:
        """Whether there are keys that are not too old to check a token."""
        return self._usable() is not None

    def load(self) -> None:
        """Fetch the keys unless they are fresh.

        Raises:
            KeysUnavailable: the fetch failed, and there are no usable keys of an earlier fetch.
        """
        if self._age() > FRESH_SECONDS:
            self._refresh().wait(FETCH_SECONDS)
        if not self.loaded:
            raise KeysUnavailable(retry_after_seconds=5)

    def find(self, key_id: str) -> SigningKey | None:
        """The key with this id; None if there is none. An unknown id causes a fetch, at most one in `PAUSE_SECONDS`.

        Raises:
            KeysUnavailable: no keys were ever loaded, the provider has not answered for `USABLE_SECONDS`, or the id is
                unknown and the provider hesitates.
        """
        known = self._usable()
        if known is None or key_id not in known.keys:
            self._wait_for(self._refresh())
            known = self._usable()
        elif self._age() > FRESH_SECONDS:
            self._refresh()
        if known is None:
            raise KeysUnavailable(retry_after_seconds=5)
        return known.keys.get(key_id)

    def _age(self) -> float:
        return float("inf") if self._set is None else self._clock() - self._set.fetched_at

    def _usable(self) -> _KeySet | None:
        return self._set if self._age() <= USABLE_SECONDS else None

    def _refresh(self) -> threading.Event:
        """Start a fetch, unless one is running or was just made. The event is set when there is none to wait for."""
        with self._lock:
            if self._fetched.is_set() and self._clock() - self._tried_at >= self._pause():
                self._tried_at = self._clock()
                fetched = threading.Event()
                threading.Thread(target=self._fetch, args=(fetched,), name="signing-keys", daemon=True).start()
                self._fetched = (
                    fetched  # only after the start: if no thread can start, nothing would ever set this event
                )
            return self._fetched

    def _pause(self) -> float:
        if self._usable() is None:
            return _FIRST_PAUSE_SECONDS
        return _OUTAGE_PAUSE_SECONDS if self._has_failed else PAUSE_SECONDS

    def _wait_for(self, fetched: threading.Event) -> None:
        if self._usable() is None:
            fetched.wait(FETCH_SECONDS)
        elif not fetched.is_set():
            if not self._places.acquire(blocking=False):
                raise KeysUnavailable(retry_after_seconds=round(FETCH_SECONDS))
            try:
                left = self._tried_at + HESITATION_SECONDS - self._clock()
                if not fetched.wait(max(0.0, left)):
                    raise KeysUnavailable(retry_after_seconds=round(FETCH_SECONDS))
            finally:
                self._places.release()

    def _fetch(self, fetched: threading.Event) -> None:
        try:
            self._has_failed = True
            try:
                self._set = _KeySet(fetch_keys(self._directory), self._clock())
                self._has_failed = False
            finally:
                fetched.set()
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            logger.warning(
                "The sign-in service's keys could not be refreshed (%s)",
                str(error) or type(error).__name__,
                extra={"action": "keys_refresh_failed"},
            )


def is_key_id(value: object) -> bool:
    """Whether `value` could be the id of one of the provider's keys."""
    return isinstance(value, str) and _KEY_ID.fullmatch(value) is not None


def fetch_keys(directory: Directory) -> dict[str, SigningKey]:
    """The provider's keys by id, as it publishes them now. Takes at most `FETCH_SECONDS`.

    Raises:
        OSError, http.client.HTTPException: the provider cannot be reached.
        ValueError, RecursionError: its answer is not that of an identity provider of this tenant.
    """
    deadline = time.monotonic() + FETCH_SECONDS
    metadata = _get_json(directory.metadata_url, deadline)
    issuer, keys_url = metadata.get("issuer"), metadata.get("jwks_uri")
    if not isinstance(issuer, str) or str(directory.tenant_id) not in urlsplit(issuer).path.split("/"):
        raise ValueError("its issuer is not the configured tenant's")
    if not isinstance(keys_url, str):
        raise ValueError("it names no address for its keys")
    if urlsplit(keys_url).scheme != "https" and urlsplit(directory.metadata_url).scheme == "https":
        raise ValueError("the address of its keys is not https")
    keys = _usable_keys(_get_json(keys_url, deadline).get("keys"), issuer, directory.tenant_id)
    if not keys:
        raise ValueError("it has no usable key")
    return keys


def _usable_keys(entries: object, issuer: str, tenant_id: UUID) -> dict[str, SigningKey]:
    """The RSA public keys among `entries` by id. An id that occurs twice is left out, because it names two keys.

    Entra names the issuer of each key, where `{tenantid}` means any tenant. A key of another issuer (Microsoft's
    consumer accounts) must not sign for this one. See learn.microsoft.com/entra/identity-platform/access-tokens.
    """
    found: list[tuple[str, RSAPublicKey]] = []
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or not is_key_id(entry.get("kid")):
            continue
        if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
            continue
        if str(entry.get("issuer", issuer)).replace("{tenantid}", str(tenant_id)) != issuer:
            continue
        with suppress(jwt.PyJWTError):
            key = jwt.PyJWK(entry, "RS256").key
            if isinstance(key, RSAPublicKey) and key.key_size >= _MIN_RSA_BITS:
                found.append((entry["kid"], key))
    times = Counter(key_id for key_id, _ in found)
    return {key_id: SigningKey(key, issuer) for key_id, key in found if times[key_id] == 1}


def _get_json(url: str, deadline: float) -> dict[str, Any]:
    """GET one JSON object over https, or from a loopback address. No redirect, no proxy, at most `MAX_ANSWER_BYTES`."""
    address = urlsplit(url)
    host = address.hostname or ""
    if address.scheme != "https" and not (address.scheme == "http" and host in LOOPBACK_HOSTS):
        raise ValueError("its address is neither https nor loopback")
    connect = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = connect(host, address.port, timeout=max(0.1, deadline - time.monotonic()))
    try:
        connection.connect()
        with _cut_off_at(deadline, connection.sock):
            target = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
            connection.request("GET", target, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise ValueError(f"it answered with status {answer.status}")
            body = answer.read(MAX_ANSWER_BYTES + 1)
    finally:
        connection.close()
    if len(body) > MAX_ANSWER_BYTES:
        raise ValueError("its answer is larger than 1 MB")
    try:
        document = json.loads(body)
    except ValueError:
        raise ValueError("its answer is not JSON") from None
    if not isinstance(document, dict):
        raise ValueError("its answer is not a JSON object")
    return document


@contextmanager
def _cut_off_at(deadline: float, connected: socket.socket) -> Iterator[None]:
    """Shut the socket down at the deadline. The socket's own timeout starts again with every byte that arrives."""
    timer = threading.Timer(deadline - time.monotonic(), _shut_down, (connected,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
