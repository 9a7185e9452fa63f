"""What can go wrong at the object store: obstore's errors and the system's, translated into four of our own.

No error leaves the room `storage` with an address, an account or a key in it. `StoreFailed.reason` says in a few words
what went wrong. Which sentence a person reads is decided by the room that asked: `images`, `packs`, or `files` here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

_DENIED = re.compile(r"40[13]\b")
_REFUSED = re.compile(r"4(?!08|29)\d\d")  # all of HTTP's refusals except those that another try may mend


class ObjectExists(Exception):
    """An object with this key is there already, and the call may only make a new one."""


class ObjectMissing(Exception):
    """The store answers, and has no object with this key."""


class StoreFailed(Exception):
    """The store did not do what it was asked for."""

    def __init__(self, reason: str, *, is_denied: bool = False, errno: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason  # such as `403 AuthorizationFailure`
        self.is_denied = is_denied  # the key or the identity may not do this
        self.errno = errno  # the system's number of the error; None if it has none

    @property
    def is_refused(self) -> bool:
        """Whether the store answered, and will give the same answer until somebody changes something."""
        return self.is_denied or _REFUSED.match(self.reason) is not None


class ContainerMissing(StoreFailed):
    """The store answers, and the whole container is missing."""


@contextmanager
def translated(*, is_missing_expected: bool = True) -> Iterator[None]:
    """Make one call to the store.

    `is_missing_expected` is False where a missing object or folder means that the store is damaged.

    Raises:
        ObjectExists: obstore says so.
        ObjectMissing: obstore or the system says so, and this is expected.
        ContainerMissing, StoreFailed: any other error.
    """
    try:
        yield
    except AlreadyExistsError:
        raise ObjectExists from None
    except (BaseError, OSError) as error:
        failed = failure(error)
        if isinstance(error, FileNotFoundError) and is_missing_expected and not isinstance(failed, ContainerMissing):
            raise ObjectMissing from None
        raise failed from None  # the text of `error` has addresses in it


def failure(error: Exception) -> StoreFailed:
    """An error of obstore or of the system as one of ours, without any address, account or path."""
    text, why = str(error), _reason(error)
    kind = ContainerMissing if "<Code>ContainerNotFound</Code>" in text else StoreFailed
    is_denied = isinstance(error, (PermissionDeniedError, UnauthenticatedError)) or _DENIED.match(why) is not None
    return kind(why, is_denied=is_denied, errno=_errno(error))


def _reason(error: Exception) -> str:
    text = str(error)
    if status := re.search(r"status code: (\d{3})", text):
        code = re.search(r"<Code>(\w{1,80})</Code>", text)
        return f"{status[1]} {code[1]}" if code else status[1]
    if number := _errno(error):
        return os.strerror(number)
    if isinstance(error, TimeoutError) or "kind: Timeout" in text:
        return "no answer in time"
    return "no connection" if "HttpError" in text or isinstance(error, OSError) else type(error).__name__


def _errno(error: Exception) -> int | None:
    number = re.search(r"\(os error (\d+)\)", str(error))
    return int(number[1]) if number else getattr(error, "errno", None)
