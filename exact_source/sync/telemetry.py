"""Spans and counters for OpenTelemetry; nothing happens without its API, or if no SDK is set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .._version import __version__
from ..engine.result import StreamResult
from ..errors import ExactError

NAME = "exact_source"
NS = 1_000_000_000
FAILED = {"failed", "refused"}


@contextmanager
def traced_sync() -> Iterator[Callable[[Sequence[StreamResult], bool], None]]:
    """A span around a sync; gives what a round's streams are told to, each a span within.

    It is told, too, whether the round was loaded: if not, its rows are read again.

    Their times are those of the run's clock. No message of an error that is not ours gets into a
    span: a driver's may hold anything.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        yield lambda _results, _loaded: None
        return
    tracer = trace.get_tracer(NAME, __version__)
    meter = metrics.get_meter(NAME, __version__)
    calls = meter.create_counter("exact_online.calls", "{call}", "Calls to Exact Online.")
    rows = meter.create_counter("exact_online.rows", "{row}", "Rows that were read.")

    def note(results: Sequence[StreamResult], loaded: bool) -> None:
        for result in results:
            labels: dict[str, str | int] = {
                "division": result.division,
                "entity": result.entity,
            }
            calls.add(result.calls, labels)
            rows.add(result.rows, labels)
            span = tracer.start_span(
                "exact_online.stream",
                start_time=int(result.started_at * NS),
                attributes=labels
                | {
                    "feed": result.feed,
                    "status": result.status,
                    "calls": result.calls,
                    "rows": result.rows,
                    "loaded": loaded,
                }
                | ({"error.type": result.code} if result.code else {}),
            )
            if result.status in FAILED:
                span.set_status(trace.StatusCode.ERROR, result.error)
            elif not loaded:
                span.set_status(trace.StatusCode.ERROR, "read, and not loaded")
            span.end(int(max(result.ended_at, result.started_at) * NS))

    with tracer.start_as_current_span(
        "exact_online.sync", record_exception=False, set_status_on_exception=False
    ) as whole:
        try:
            yield note
        except BaseException as error:
            whole.set_status(trace.StatusCode.ERROR, _describe(error))
            raise


def _describe(error: BaseException) -> str:
    """A message of ours; of another's only the class."""
    return str(error) if isinstance(error, ExactError) else type(error).__name__
