"""Spans and counters for OpenTelemetry. Without its API or a configured SDK nothing is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .._version import __version__
from ..engine.result import StreamResult
from ..errors import ExactError

NAME = "exact_source"
NS = 1_000_000_000

Note = Callable[[Sequence[StreamResult], bool], None]
Labels = dict[str, str | int]


@contextmanager
def traced_sync() -> Iterator[Note]:
    """Trace a sync as a span; yields a function that adds one span for each stream of a round.

    The function takes the results of a round, with times of the run's clock, and whether the round was
    loaded; if not, its rows are read again. For errors of other packages, a span has only the class, because
    a driver's message may contain secrets or rows.
    """
    if not _has_api():
        yield lambda _results, _loaded: None
        return
    from opentelemetry import trace

    with trace.get_tracer(NAME, __version__).start_as_current_span(
        "exact_online.sync", record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield _make_note()
        except BaseException as error:
            span.set_status(trace.StatusCode.ERROR, _describe(error))
            raise


def _has_api() -> bool:
    try:
        import opentelemetry.trace  # noqa: F401
    except ImportError:
        return False
    return True


def _make_note() -> Note:
    from opentelemetry import metrics, trace

    tracer = trace.get_tracer(NAME, __version__)
    meter = metrics.get_meter(NAME, __version__)
    calls = meter.create_counter("exact_online.calls", "{call}", "Calls to Exact Online.")
    rows = meter.create_counter("exact_online.rows", "{row}", "Rows that were read.")

    def note(results: Sequence[StreamResult], loaded: bool) -> None:
        for result in results:
            labels: Labels = {"division": result.division, "entity": result.entity}
            calls.add(result.calls, labels)
            rows.add(result.rows, labels)
            span = tracer.start_span(
                "exact_online.stream",
                start_time=int(result.started_at * NS),
                attributes=_attributes(result, loaded),
            )
            if result.has_failed and not result.is_excluded:
                span.set_status(trace.StatusCode.ERROR, result.error)
            elif not loaded:
                span.set_status(trace.StatusCode.ERROR, "read, and not loaded")
            span.end(int(max(result.ended_at, result.started_at) * NS))

    return note


def _attributes(result: StreamResult, loaded: bool) -> Labels:
    attributes: Labels = {
        "division": result.division,
        "entity": result.entity,
        "feed": result.feed,
        "status": result.status,
        "calls": result.calls,
        "rows": result.rows,
        "loaded": loaded,
    }
    return attributes | ({"error.type": result.code} if result.code else {})


def _describe(error: BaseException) -> str:
    """The message of an error of this package; the class of another error."""
    return str(error) if isinstance(error, ExactError) else type(error).__name__
