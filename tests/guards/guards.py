"""All guards, in the order in which a job meets them."""

from __future__ import annotations

from tests.guards import (
    answers,
    budget,
    database,
    dataset,
    infra,
    jobs,
    keys,
    lora,
    ownership,
    packs,
    pictures,
    requests,
    reviews,
    tokens,
    training,
    upkeep,
    usage,
    wait,
    workers,
)

_AREAS = (
    tokens,
    keys,
    requests,
    answers,
    ownership,
    jobs,
    budget,
    workers,
    packs,
    reviews,
    lora,
    pictures,
    dataset,
    training,
    upkeep,
    usage,
    wait,
    database,
    infra,
)
GUARDS = tuple(guard for area in _AREAS for guard in area.GUARDS)
