"""Spans and counters of a sync, as an OpenTelemetry SDK receives them."""

from __future__ import annotations

import json
import sys

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exact_source.cli._output.exit import report
from exact_source.sync.telemetry import traced_sync
from tests.support.world import World


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    monkeypatch.setattr(metrics, "get_meter", MeterProvider([reader]).get_meter)
    return reader


def test_a_sync_is_a_span_with_one_for_each_stream(
    world: World, spans: InMemorySpanExporter, reader: InMemoryMetricReader
) -> None:
    world.box.deny(world.division, "financial/Journals", "LicenseExpired")

    outcome = world.sync("journals")

    *streams, whole = spans.get_finished_spans()
    assert whole.name == "exact_online.sync"
    assert {s.name for s in streams} == {"exact_online.stream"}
    assert {s.parent and s.parent.span_id for s in streams} == {whole.context.span_id}
    told = {(s.attributes["division"], s.attributes["status"]) for s in streams if s.attributes}
    assert told == {(world.division, "refused"), (world.other, "complete")}
    refused = next(s for s in streams if not s.status.is_ok and s.status.description)
    assert "answered 403" in str(refused.status.description)
    assert [s.attributes and s.attributes.get("error.type") for s in streams if s is refused] == [
        "refused"
    ]
    assert all(s.start_time and s.end_time and s.start_time <= s.end_time for s in streams)
    data = reader.get_metrics_data()
    assert data is not None
    found = {
        metric.name: sum(
            point["value"] for point in json.loads(metric.data.to_json())["data_points"]
        )
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }
    assert found == {
        "exact_online.calls": sum(r.calls for r in outcome.results),
        "exact_online.rows": sum(r.rows for r in outcome.results),
    }


def test_without_the_api_a_sync_goes_as_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)

    assert world.sync("journals").exit_code == 0


@pytest.mark.parametrize("installed", [True, False])
def test_an_error_inside_a_sync_has_nothing_to_do_with_telemetry(
    installed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "opentelemetry", None)

    with pytest.raises(MemoryError) as caught, traced_sync():
        raise MemoryError("cannot start new thread")

    assert caught.value.__context__ is None
    assert report(caught.value) == 1
    assert "MemoryError" in caplog.text
    assert "opentelemetry" not in caplog.text


def test_a_load_that_fails_is_no_healthy_span(world: World, spans: InMemorySpanExporter) -> None:
    for _ in range(2):  # after a first load the table is looked at once more
        world.sync("accounts")
    spans.clear()
    world.box.update(
        "crm/Accounts", world.division, world.keys("crm/Accounts")[0], {"Name": "Jansen"}
    )
    world.sql(
        "ALTER TABLE exact_online.accounts RENAME TO away"
    )  # a view can be read, and not loaded
    world.sql("CREATE VIEW exact_online.accounts AS SELECT * FROM exact_online.away")

    with pytest.raises(PipelineStepFailed):
        world.sync("accounts")

    *streams, whole = spans.get_finished_spans()
    assert whole.status.status_code is trace.StatusCode.ERROR
    assert whole.status.description == "PipelineStepFailed"
    assert {(s.status.status_code, (s.attributes or {})["loaded"]) for s in streams} == {
        (trace.StatusCode.ERROR, False)
    }
    assert len(streams) == 2
