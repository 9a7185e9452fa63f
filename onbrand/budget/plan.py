"""The budget as the settings give it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from onbrand.config import Settings

GRACE_SECONDS = 60.0  # that a replica which vanished may have been billed after its last sign


@dataclass(frozen=True)
class Plan:
    """What may be spent in a month, and what a GPU costs. Money is in US dollars."""

    gpu_usd: float  # of the monthly budget, what the fixed cost leaves
    fixed_usd: float
    usd_per_second: float  # of one replica with a GPU
    start_seconds: float  # from the demand to a loaded model, until starts were measured
    warm_seconds: float  # the longest that a replica is kept without a job
    attempts: int  # a job is tried at most so often

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The plan of the settings; None if no budget is set."""
        if settings.monthly_budget_usd is None or settings.gpu_usd_per_second is None:
            return None
        return cls(
            gpu_usd=settings.monthly_budget_usd - settings.fixed_usd_per_month,
            fixed_usd=settings.fixed_usd_per_month,
            usd_per_second=settings.gpu_usd_per_second,
            start_seconds=settings.gpu_start_seconds,
            warm_seconds=settings.warm_seconds,
            attempts=settings.max_attempts,
        )

    @property
    def usd(self) -> float:
        """The whole budget of a month."""
        return self.gpu_usd + self.fixed_usd
