"""What the service measures of itself, for /metrics.

Not its job: the text format (metrics.py), or single requests (logs.py).
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from m4nmt_serve.metrics import Counter, Gauge, Histogram, Labels, Metric, exposition

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (16, 64, 256, 512, 1024, 2048, 4096, 8192, 32768)
_STARTED = time.time()


class Meters:
    """All measures of one service. Owned by its event loop."""

    def __init__(self) -> None:
        self.requests = Counter("m4nmt_requests_total", "Requests answered.", ("route", "status"))
        self.left = Counter("m4nmt_requests_left_total", "Requests whose client left.", ("route",))
        self.seconds = Histogram(
            "m4nmt_request_seconds", "From a request's head to its answer.", _SECONDS, ("route",)
        )
        self.texts = Counter(
            "m4nmt_texts_total",
            "Texts asked for: translated, cached, joined (somebody's already), failed, dropped.",
            ("model", "outcome"),
        )
        self.tokens = Counter("m4nmt_tokens_total", "Source tokens translated.", ("model",))
        self.refused = Counter(
            "m4nmt_refused_total", "Requests for which there was no room.", ("reason",)
        )
        self.waits = Histogram(
            "m4nmt_queue_seconds", "Time of a text in the queue.", _SECONDS, ("model", "lane")
        )
        self.batch_seconds = Histogram(
            "m4nmt_batch_seconds", "Time of a batch in the engine.", _SECONDS, ("model",)
        )
        self.batch_texts = Histogram("m4nmt_batch_texts", "Texts in a batch.", _TEXTS, ("model",))
        self.batch_tokens = Histogram(
            "m4nmt_batch_tokens", "Source tokens in a batch.", _TOKENS, ("model",)
        )
        self.stopped = Counter(
            "m4nmt_batches_stopped_total", "Batches that everybody left.", ("model",)
        )
        self.loads = Counter("m4nmt_loads_total", "Models loaded.", ("model", "outcome"))
        own = vars(self).values()
        self._metrics: list[Metric] = [m for m in own if isinstance(m, Counter | Histogram)]
        self._metrics += _process()

    def gauge(
        self,
        name: str,
        about: str,
        read: Callable[[], Mapping[Labels, float]],
        labels: Labels = (),
    ) -> None:
        """Another number to be read whenever somebody looks."""
        self._metrics.append(Gauge(name, about, read, labels))

    def page(self) -> str:
        """All of it for Prometheus."""
        return exposition(self._metrics)


def _process() -> list[Metric]:
    """What Prometheus' own clients tell of a process, under the same names; Linux only."""
    started = Gauge("process_start_time_seconds", "When the process began.", lambda: {(): _STARTED})
    if not Path("/proc/self/statm").exists():
        return [started]
    page = os.sysconf("SC_PAGE_SIZE")

    def resident() -> Mapping[Labels, float]:
        return {(): int(Path("/proc/self/statm").read_text("ascii").split()[1]) * page}

    def files() -> Mapping[Labels, float]:
        return {(): sum(1 for _ in Path("/proc/self/fd").iterdir())}

    return [
        started,
        Gauge("process_resident_memory_bytes", "Resident memory.", resident),
        Gauge("process_open_fds", "Open files and connections.", files),
    ]
