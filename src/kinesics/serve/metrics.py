"""Numbers about the service in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of what `Metrics.text` gives."""

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Counters of one service, kept apart from those of other services in the process."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "kinesics_requests", "Requests by route and status", ("route", "status"), registry=registry
        )
        self.latency = Histogram(
            "kinesics_request_seconds", "Seconds from the request's head to the answer's end, by route", ("route",),
            buckets=_LATENCY, registry=registry,
        )  # fmt: skip
        self.batches = Histogram("kinesics_batch_faces", "Faces in one forward pass", buckets=_BATCH, registry=registry)
        self.faces = Counter("kinesics_faces", "Faces recognised", ("kind",), registry=registry)
        self.frames = Counter("kinesics_frames", "Video frames read", registry=registry)
        self.received = Counter("kinesics_upload_bytes", "Bytes of uploads received", registry=registry)
        self._queue = Gauge(
            "kinesics_queue_length", "Requests that wait for a thread, by lane", ("lane",), registry=registry
        )
        self._inside = Gauge(
            "kinesics_requests_inside", "Requests that wait or are worked on, by lane", ("lane",), registry=registry
        )

    def watch(self, lane: str, waiting: Callable[[], float], inside: Callable[[], float]) -> None:
        """Read a lane's lengths whenever the metrics are read."""
        self._queue.labels(lane).set_function(waiting)
        self._inside.labels(lane).set_function(inside)

    def text(self) -> bytes:
        """All of them in the text exposition format."""
        return generate_latest(self.registry)
