"""Metrics for Prometheus: what this process has answered, and what the database says at this moment.

No label contains anything that a caller can choose, so the number of series is bounded: a route is named by its
template, all unknown methods share one label, and so do all requests without a route. `jobs.metrics` reads the
database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from onbrand.budget.governor import Standing
from onbrand.jobs.metrics import Figures

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The metrics of one process; safe to share between threads."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "onbrand_http_requests", "Requests answered.", ["route", "method", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "onbrand_http_answer_seconds",
            "From a request's head to the beginning of its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._problems = Counter(
            "onbrand_http_problems", "Requests answered with a problem, by its code.", ["code"], registry=self._registry
        )
        self._in_progress = Gauge(
            "onbrand_http_requests_in_progress",
            "Requests not fully answered, open streams too.",
            registry=self._registry,
        )
        self._connections = Gauge("onbrand_http_connections", "Open connections.", registry=self._registry)

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Call `count` for the number of open connections whenever Prometheus reads the metrics."""
        self._connections.set_function(count)

    def begin(self) -> None:
        """A request has arrived."""
        self._in_progress.inc()

    def end(self, route: str, method: str, status: int, seconds: float, problem_code: str | None) -> None:
        """A request has ended. `seconds` is the time until its answer began; `status` is 0 if it got no answer."""
        self._in_progress.dec()
        self._requests.labels(route, method if method in _METHODS else "other", status).inc()
        self._seconds.labels(route).observe(seconds)
        if problem_code is not None:
            self._problems.labels(problem_code).inc()

    def text(self, figures: Figures | None, usual_seconds: int | None, budget: Standing | None = None) -> bytes:
        """All metrics in Prometheus' text form. `figures` is None if the database does not answer."""
        families = [*_families(figures, usual_seconds), *([] if budget is None else _of_budget(budget))]
        return generate_latest(_Both(self._registry, families))


class _Both(Collector):
    """The metrics of the process and those of the database."""

    def __init__(self, registry: CollectorRegistry, families: list[Metric]) -> None:
        self._registry = registry
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._registry.collect()
        yield from self._families


def _families(figures: Figures | None, usual_seconds: int | None) -> Iterator[Metric]:
    yield GaugeMetricFamily("onbrand_database_up", "Whether the database answers.", int(figures is not None))
    if figures is None:
        return
    jobs = GaugeMetricFamily("onbrand_jobs", "Jobs that have not ended.", labels=["status"])
    jobs.add_metric(["queued"], figures.queued)
    jobs.add_metric(["processing"], figures.processing)
    yield jobs
    ended = CounterMetricFamily("onbrand_jobs_ended", "Jobs that have ended, deleted ones too.", labels=["status"])
    ended.add_metric(["complete"], figures.complete)
    ended.add_metric(["failed"], figures.failed)
    yield ended
    workers = GaugeMetricFamily(
        "onbrand_workers", "Live workers; ready ones have their model loaded.", labels=["state"]
    )
    for state, count in figures.workers.items():
        workers.add_metric([state], count)
    yield workers
    yield GaugeMetricFamily(
        "onbrand_workers_refusing_pack",
        "Live workers that can't use the live brand pack, and draw with the one before.",
        figures.workers_refusing,
    )
    yield GaugeMetricFamily(
        "onbrand_oldest_waiting_seconds", "How long the oldest queued job has waited.", figures.oldest_waiting
    )
    if usual_seconds is not None:
        yield GaugeMetricFamily("onbrand_usual_seconds", "Median time to draw, of the latest jobs.", usual_seconds)
    since = GaugeMetricFamily("onbrand_upkeep_age_seconds", "Since this part of the upkeep was done.", labels=["task"])
    for task, seconds in figures.since_upkeep.items():
        since.add_metric([task], seconds)
    yield since
    yield GaugeMetricFamily(
        "onbrand_retention_held_seconds",
        "How long a deletion too large to be right has waited.",
        figures.retention_held,
    )
    yield GaugeMetricFamily(
        "onbrand_collection_held_seconds",
        "How long so many stored images have belonged to no job that none is deleted.",
        figures.collection_held,
    )
    yield GaugeMetricFamily(
        "onbrand_images_missing", "Published images that the store no longer has.", figures.images_missing
    )
    yield GaugeMetricFamily(
        "onbrand_images_damaged",
        "Published images whose stored bytes no longer match their checksum.",
        figures.images_damaged,
    )


def _of_budget(budget: Standing) -> Iterator[Metric]:
    yield GaugeMetricFamily("onbrand_budget_usd", "What GPUs may cost in a month.", budget.plan.gpu_usd)
    yield GaugeMetricFamily("onbrand_budget_spent_usd", "What GPUs have cost in this month.", budget.spent_usd)
    yield GaugeMetricFamily(
        "onbrand_budget_reserved_usd", "The most that accepted jobs may still cost.", budget.reserved_usd
    )
    yield GaugeMetricFamily(
        "onbrand_gpu_starts_stopped",
        "Whether no GPU is started, because starts failed.",
        int(budget.closed_until is not None),
    )
