"""What Prometheus may read: requests by surface and status, unfinished recordings by state."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from callreel.model.recording import State
from callreel.web.surfaces import Surface


class RequestMetrics:
    """The counters of one listener."""

    def __init__(self) -> None:
        self._registry, self._ledgers_registry = CollectorRegistry(), CollectorRegistry()
        self._requests = Counter(
            "callreel_requests", "HTTP requests answered", ("surface", "status"), registry=self._registry
        )
        self._recordings = Gauge(
            "callreel_recordings",
            "Recordings that need work or a person",
            ("state",),
            registry=self._ledgers_registry,
        )

    def count(self, surface: Surface, status: int) -> None:
        """One request was answered."""
        self._requests.labels(str(surface), str(status)).inc()

    def page(self, by_state: Mapping[str, int]) -> bytes:
        """Prometheus's text format."""
        for state in State:
            self._recordings.labels(str(state)).set(by_state.get(state, 0))
        return self.page_of_requests() + generate_latest(self._ledgers_registry)

    def page_of_requests(self) -> bytes:
        """The requests alone, for when the ledger does not answer."""
        return generate_latest(self._registry)
