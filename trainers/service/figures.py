"""Count requests and lessons of the service, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from trainers.teaching.adaptive import Guidance

_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Figures:
    """Counts requests and lessons, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "atlas_requests", "Requests by path and status.", ("path", "status"), registry=registry
        )
        self._seconds = Histogram(
            "atlas_request_seconds",
            "Seconds from a request to its last byte.",
            ("path",),
            buckets=_SECONDS,
            registry=registry,
        )
        outcomes = "Questions by what came of their teaching: taught, reused, or why not."
        self._lessons = Counter("atlas_lessons", outcomes, ("outcome",), registry=registry)
        self._tokens = Counter("atlas_guidance_tokens", "Tokens of approaches and teachers.", registry=registry)
        self.running = Gauge("atlas_requests_running", "Answers in work.", registry=registry)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request that has its answer."""
        self._requests.labels(path, status).inc()
        self._seconds.labels(path).observe(seconds)

    def guided(self, guidance: Guidance) -> None:
        """Count what a question was told."""
        self._lessons.labels("taught" if guidance.teaching is not None else guidance.failure).inc()
        self._tokens.inc(guidance.tokens)

    def reused(self) -> None:
        """Count a request that went on with the teaching of its user turn."""
        self._lessons.labels("reused").inc()

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
