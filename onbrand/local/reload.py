"""`onbrand up --reload`, for people who change Onbrand: which parts must start again because their code changed.

It compares the times of the source files. The page reloads itself (`make dev` runs Vite beside this).
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_PATTERNS = ("*.py", "*.sql")
# Rooms that only one of the parts imports. A change anywhere else starts both again.
_ONLY_API = ("api", "identity", "local", "maintenance.py")
_ONLY_WORKER = ("worker", "hidream")
# Rooms that neither part imports.
_NEITHER = ("cli", "doctor")


class SourceWatch:
    """Remembers the source files' times, and tells which parts a change concerns."""

    def __init__(self, package: Path = _PACKAGE) -> None:
        self._package = package
        self._seen = self._times()

    def changed_parts(self) -> Set[str]:
        """`api` and `worker`, as far as they must start again since the last call."""
        times = self._times()
        changed = {path for path in times.keys() | self._seen.keys() if times.get(path) != self._seen.get(path)}
        self._seen = times
        parts: set[str] = set()
        for path in changed:
            room = path.relative_to(self._package).parts[0]
            if room not in (*_ONLY_WORKER, *_NEITHER):
                parts.add("api")
            if room not in (*_ONLY_API, *_NEITHER):
                parts.add("worker")
        return parts

    def _times(self) -> dict[Path, int]:
        times = {}
        for pattern in _PATTERNS:
            for path in self._package.rglob(pattern):
                try:
                    times[path] = path.stat().st_mtime_ns
                except FileNotFoundError:  # an editor is replacing it; the next look finds it
                    continue
        return times
