"""Why an attempt ends without a failure of its own."""

from __future__ import annotations

from onbrand.errors import OnbrandError


class NoLongerOurs(OnbrandError):
    """The job was cancelled, or another attempt has taken over."""


class Stopping(OnbrandError):
    """This worker must stop before the attempt is complete."""
