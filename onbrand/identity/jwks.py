"""The identity provider's signing keys: fetched within bounds, kept through an outage, found by key id.

Nothing here looks at a token; what a token must say is in `identity`.
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
MAX_ANSWER_BYTES = 1_000_000  # Entra's key set has about 15 kB
FRESH_SECONDS = 3600.0  # then the next token starts a refresh, without waiting for it
USABLE_SECONDS = 24 * 3600.0  # how long keys serve while the provider is away
PAUSE_SECONDS = 30.0  # between two fetches: what a flood of unknown key ids can cost
_FIRST_PAUSE_SECONDS = 1.0  # the same while there are no keys at all and everybody gets a 503
_MIN_RSA_BITS = 2048
# Entra's are base64url thumbprints. Anything else can't be one of its keys, and never causes a fetch.
_KEY_ID = re.compile(r"[A-Za-z0-9_.=-]{1,256}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SigningKey:
    """A public key, and the only issuer whose tokens it may sign."""

    public: RSAPublicKey
    issuer: str


@dataclass(frozen=True)
class _KeySet:
    keys: dict[str, SigningKey]
    fetched_at: float


class SigningKeys:
    """The provider's current keys; safe to share between threads.

    `clock` is a monotonic one, in seconds. Fetches run in a thread of their own, one at a time, so a caller never
    waits longer than `FETCH_SECONDS`, and callers whose key is known don't wait at all.
    """

    def __init__(self, directory: Directory, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._set: _KeySet | None = None
        self._lock = threading.Lock()  # over the two below
        self._tried_at = float("-inf")
        self._fetched = threading.Event()
        self._fetched.set()

    @property
    def loaded(self) -> bool:
        """Whether there are keys young enough to check a token with."""
        return self._usable() is not None

    def load(self) -> None:
        """Fetch the keys unless they are fresh.

        Raises:
            KeysUnavailable: the fetch failed and there are no usable keys from before.
        """
        if self._age() > FRESH_SECONDS:
            self._refresh(wait=True)
        if not self.loaded:
            raise KeysUnavailable(retry_after_seconds=5)

    def find(self, key_id: str) -> SigningKey | None:
        """The key with this id, refetching at most every `PAUSE_SECONDS` for one that is unknown.

        Raises:
            KeysUnavailable: no keys were ever loaded, or the provider has been away for `USABLE_SECONDS`.
        """
        known = self._usable()
        if known is None or key_id not in known.keys:
            self._refresh(wait=True)
            known = self._usable()
        elif self._age() > FRESH_SECONDS:
            self._refresh(wait=False)
        if known is None:
            raise KeysUnavailable(retry_after_seconds=5)
        return known.keys.get(key_id)

    def _age(self) -> float:
        return float("inf") if self._set is None else self._clock() - self._set.fetched_at

    def _usable(self) -> _KeySet | None:
        return self._set if self._age() <= USABLE_SECONDS else None

    def _refresh(self, *, wait: bool) -> None:
        with self._lock:
            if self._fetched.is_set():
                pause = PAUSE_SECONDS if self._usable() else _FIRST_PAUSE_SECONDS
                if self._clock() - self._tried_at < pause:
                    return
                self._tried_at = self._clock()
                fetched = threading.Event()
                threading.Thread(target=self._fetch, args=(fetched,), name="signing-keys", daemon=True).start()
                self._fetched = fetched  # once it runs: were there no thread to be had, nothing would ever set it
            fetched = self._fetched
        if wait:
            fetched.wait(FETCH_SECONDS)

    def _fetch(self, fetched: threading.Event) -> None:
        try:
            try:
                self._set = _KeySet(fetch_keys(self._directory), self._clock())
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
    """The provider's keys by id, as it publishes them at this moment; within `FETCH_SECONDS`.

    Raises:
        OSError, http.client.HTTPException: it cannot be reached.
        ValueError, RecursionError: what it answers is not what an identity provider of this tenant says.
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
    """The RSA public keys among `entries` by id; ids that occur twice are dropped, for either could be meant.

    Entra names the issuer each key is for, with `{tenantid}` standing for any tenant; a key for another issuer (its
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
    """GET one JSON object from https or a loopback address: no redirect, no proxy, `MAX_ANSWER_BYTES` at most."""
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
    """Shut the socket down at the deadline; its own timeout starts anew with every byte of a slow drip."""
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
