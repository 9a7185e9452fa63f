"""How many requests a caller may make: pure arithmetic with a clock that the test moves."""

from __future__ import annotations

import pytest

from onbrand.api import rates
from onbrand.api.rates import BURST_SECONDS, Rates

PER_SECOND = 10


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def answered(counted: Rates, caller: object, requests: int) -> int:
    """How many of so many requests at once are answered."""
    return sum(counted.count(str(caller)) == 0 for _ in range(requests))


def test_who_was_quiet_may_make_some_at_once_and_then_so_many_a_second() -> None:
    clock = Clock()
    counted = Rates(PER_SECOND, clock)
    assert answered(counted, "a", 1000) == PER_SECOND * BURST_SECONDS
    clock.now += 1
    assert answered(counted, "a", 1000) in (PER_SECOND - 1, PER_SECOND)


def test_after_the_seconds_that_are_told_the_next_request_is_answered() -> None:
    clock = Clock()
    counted = Rates(PER_SECOND, clock)
    answered(counted, "a", 1000)
    clock.now += counted.count("a") + 1e-6
    assert counted.count("a") == 0


def test_callers_are_counted_apart() -> None:
    counted = Rates(PER_SECOND, Clock())
    answered(counted, "a", 1000)
    assert counted.count("b") == 0


def test_a_crowd_of_callers_is_counted_together_and_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_CALLERS", 100)
    clock = Clock()
    counted = Rates(PER_SECOND, clock)
    taken = sum(answered(counted, number, 1) for number in range(10_000))
    assert taken == 100 + PER_SECOND * BURST_SECONDS
    assert len(counted._paid_until) == 101
    clock.now += 10  # the crowd is forgotten
    assert answered(counted, "late", 1000) == PER_SECOND * BURST_SECONDS
