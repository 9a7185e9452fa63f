"""The routes for whoever operates the service: is the process alive, is it ready, and the metrics."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from onbrand.api.dependencies import ServicesOfProcess
from onbrand.api.metrics import CONTENT_TYPE
from onbrand.api.problems import MEDIA_TYPE, documented
from onbrand.api.schemas import Health, Readiness
from onbrand.budget import governor
from onbrand.budget.plan import Plan
from onbrand.database import migrations
from onbrand.errors import DatabaseUnavailable
from onbrand.jobs import eta, metrics
from onbrand.jobs.eta import round_seconds

router = APIRouter()
metrics_router = APIRouter()  # without a token, and therefore in production only on a port of its own

# A 503 of this route means that the service is not ready. Its body says what is missing, and is no problem document.
_NOT_READY: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Readiness,
        "description": "Not ready",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


@router.get("/healthz", responses=documented())
async def healthz() -> Health:
    """The process answers. Neither the database nor anything else is checked."""
    return Health()


@router.get("/readyz", responses=documented() | _NOT_READY)
async def readyz(services: ServicesOfProcess, response: Response) -> Readiness:
    """Whether a generation could be accepted now."""
    database, ready_workers = await services.readiness.look()
    keys = services.verifier.keys_loaded
    response.status_code = 200 if database and keys else 503
    return Readiness(ready=database and keys, database=database, keys=keys, workers=ready_workers)


@metrics_router.get("/metrics", include_in_schema=False)
async def prometheus(services: ServicesOfProcess) -> Response:
    """Metrics in Prometheus' text form. If the database does not answer, `onbrand_database_up` is 0."""
    found = usual = budget = None
    plan = Plan.of(services.settings)
    try:
        async with services.database.transaction() as connection:
            if await migrations.is_current(connection):
                found = await metrics.collect(connection)
                usual = await eta.usual_drawing(connection)
                budget = None if plan is None else await governor.standing(connection, plan)
    except DatabaseUnavailable:
        found = None  # then `onbrand_database_up` is 0
    return Response(
        services.metrics.text(found, round_seconds(usual.typical) if usual else None, budget), media_type=CONTENT_TYPE
    )
