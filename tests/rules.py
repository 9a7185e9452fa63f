"""Limits and rules of most tests: the default rules, and limits so high that no test reaches them."""

from __future__ import annotations

from onbrand.jobs.attempts import Rules
from onbrand.jobs.limits import Limits

RULES = Rules(max_attempts=3, deadline_seconds=600, max_waiting_seconds=3600, retention_hours=720)
LIMITS = Limits(unfinished_per_user=10_000, submitted_per_minute=10_000, waiting=10_000)
