"""The address at which a reviewer opens a review."""

from __future__ import annotations

from uuid import UUID

from onbrand.config import Settings, SignIn


def link(settings: Settings, review_id: UUID) -> str:
    """A whole address where the page's own is known, otherwise its end."""
    end = f"/?review={review_id}"
    if settings.auth is SignIn.LOCAL:
        return f"http://localhost:{settings.port}{end}"
    origins = [origin for origin in settings.cors_origins if origin != "*"]
    return f"{origins[0]}{end}" if len(origins) == 1 else f"(the page's address){end}"
