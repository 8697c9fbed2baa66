"""Figures of the server in Prometheus' text format, version 0.0.4.

Counters, gauges and histograms with labels, which is all that ``/metrics`` needs; written here
because the format is smaller than a dependency. Names follow vLLM's where it has one.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator

from towpath.serve.engine import Engine, Job

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
TOKENS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0)

Labels = tuple[tuple[str, str], ...]


class Counter:
    """A figure that only grows, one for each set of labels."""

    kind = "counter"

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self._values: defaultdict[Labels, float] = defaultdict(float)
        self._lock = threading.Lock()

    def add(self, amount: float = 1, **labels: str) -> None:
        """Grow by ``amount``."""
        with self._lock:
            self._values[tuple(sorted(labels.items()))] += amount

    def lines(self) -> Iterator[str]:
        """Its samples."""
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items() or [((), 0.0)]:
            yield _sample(self.name, labels, value)


class Gauge:
    """A figure that is read when it is asked for."""

    kind = "gauge"

    def __init__(self, name: str, text: str, read: Callable[[], float], labels: Labels = ()) -> None:
        self.name, self.text, self.read = name, text, read
        self.labels = labels

    def lines(self) -> Iterator[str]:
        """Its one sample."""
        yield _sample(self.name, self.labels, self.read())


class Histogram:
    """How many observations were at most each of ``bounds``, their sum and their count."""

    kind = "histogram"

    def __init__(self, name: str, text: str, bounds: tuple[float, ...]) -> None:
        self.name, self.text, self.bounds = name, text, bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count ``value``."""
        with self._lock:
            self._counts[bisect_left(self.bounds, value)] += 1
            self._sum += value

    def lines(self) -> Iterator[str]:
        """Its cumulative buckets, sum and count."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        seen = 0
        for bound, count in zip([*self.bounds, "+Inf"], counts, strict=True):
            seen += count
            yield _sample(f"{self.name}_bucket", (("le", str(bound)),), seen)
        yield _sample(f"{self.name}_sum", (), total)
        yield _sample(f"{self.name}_count", (), seen)


def _sample(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
    return f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Metrics:
    """Every figure of one server."""

    def __init__(self, engine: Engine) -> None:
        model = engine.model
        self.responses = Counter("towpath_http_responses_total", "Responses by path and status.")
        self.endings = Counter(
            "towpath_requests_total", "Requests that reached the engine, by how they ended."
        )
        self.prompt_tokens = Counter("towpath_prompt_tokens_total", "Tokens of prompts whose turn came.")
        self.generation_tokens = Counter("towpath_generation_tokens_total", "Tokens made.")
        self.queue_seconds = Histogram("towpath_request_queue_time_seconds", "Wait for the model.", SECONDS)
        self.first_token_seconds = Histogram(
            "towpath_time_to_first_token_seconds", "From arrival to the first token.", SECONDS
        )
        self.token_seconds = Histogram(
            "towpath_time_per_output_token_seconds", "Mean time between tokens of a request.", TOKEN_SECONDS
        )
        self.latency_seconds = Histogram(
            "towpath_e2e_request_latency_seconds", "From arrival to the end.", SECONDS
        )
        self.answer_tokens = Histogram("towpath_request_generation_tokens", "Tokens of an answer.", TOKENS)
        self.gauges = [
            Gauge("towpath_num_requests_running", "Requests being answered.", lambda: engine.running),
            Gauge("towpath_num_requests_waiting", "Requests in the queue.", lambda: engine.waiting),
            Gauge(
                "towpath_model_info",
                "The model being served.",
                lambda: 1,
                (("id", model.id), ("name", model.name)),
            ),
        ]

    def observe(self, job: Job) -> None:
        """Count an ended job."""
        assert job.ended is not None
        assert job.finish is not None
        self.endings.add(finished_reason=job.finish)
        self.latency_seconds.observe(job.ended - job.submitted)
        self.queue_seconds.observe((job.started or job.ended) - job.submitted)
        if job.started is None:
            return
        self.prompt_tokens.add(len(job.prompt_ids))
        self.generation_tokens.add(job.completion_tokens)
        self.answer_tokens.observe(job.completion_tokens)
        if job.first_token is not None:
            self.first_token_seconds.observe(job.first_token - job.submitted)
            if job.completion_tokens > 1:
                self.token_seconds.observe((job.ended - job.first_token) / (job.completion_tokens - 1))

    def render(self) -> str:
        """All of it as the body of ``/metrics``."""
        families = [value for value in vars(self).values() if isinstance(value, Counter | Histogram)]
        lines: list[str] = []
        for family in [*families, *self.gauges]:
            lines += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
            lines += family.lines()
        return "\n".join(lines) + "\n"
