"""Progress over the pipe: what goes in comes out, and previews that are none are left out of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onbrand.jobs.models import Phase, Progress
from onbrand.worker.frames import Frame
from onbrand.worker.reports import from_frame, to_frame

JPEGS = st.binary(max_size=100).map(lambda inside: b"\xff\xd8\xff" + inside + b"\xff\xd9")
PROGRESS = st.builds(
    Progress,
    st.sampled_from(Phase),
    st.integers(0, 50),
    st.integers(0, 50),
    st.just(()) | st.tuples(JPEGS, JPEGS, JPEGS, JPEGS),
)
ANYTHING = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.booleans() | st.integers() | st.text())


@given(PROGRESS)
def test_progress_comes_out_as_it_went_in(progress: Progress) -> None:
    assert from_frame(to_frame("a job", progress)) == progress


@given(PROGRESS, ANYTHING, st.binary(max_size=50))
def test_broken_previews_never_break_the_progress(progress: Progress, sizes: Any, payload: bytes) -> None:
    frame = to_frame("a job", progress)
    broken = Frame(frame.kind, frame.fields | {"previews": sizes}, payload)
    assert replace(from_frame(broken), previews=()) == replace(progress, previews=())
    assert len(from_frame(broken).previews) in (0, 4)


@pytest.mark.parametrize("size", [32 * 1024, 32 * 1024 + 1])
def test_previews_are_small(size: int) -> None:
    previews = (b"\xff\xd8\xff" + bytes(size - 5) + b"\xff\xd9",) * 4
    frame = to_frame("a job", Progress(Phase.DRAWING, 1, 2, previews))
    assert bool(from_frame(frame).previews) == (size <= 32 * 1024)


def test_a_log_of_progress_holds_no_picture() -> None:
    assert "secret" not in repr(Progress(Phase.DRAWING, 1, 2, (b"secret",)))
