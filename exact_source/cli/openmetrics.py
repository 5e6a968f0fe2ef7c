"""The status as OpenMetrics text, version 1.0."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import EXCLUDED
from ._output.tables import parse_instant

Labels = Mapping[str, object]
Sample = tuple[Labels, float]

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


def render(report: Mapping[str, Any], now: float) -> str:
    """The whole text; its last line is ``# EOF``.

    Args:
        report: As ``status --json`` prints it.
        now: Seconds since the epoch, UTC.
    """
    streams, divisions = report["streams"], report["divisions"]
    offered = [s for s in streams if s.get("code") not in EXCLUDED]
    lines = [
        *_family("exact_online_rows", "", "Rows in the table.", _samples_of(streams, "rows")),
        *_family(
            "exact_online_lag_seconds",
            "seconds",
            "Age of what the table shows: time since the last complete read began.",
            _samples_of(streams, "lag_s"),
        ),
        *_family(
            "exact_online_last_success_timestamp_seconds",
            "seconds",
            "When the last complete read began.",
            _samples_of(streams, "last_success", parse_instant),
        ),
        *_family(
            "exact_online_last_run_timestamp_seconds",
            "seconds",
            "When the entity was last tried.",
            _samples_of(streams, "last_run", parse_instant),
        ),
        *_family(
            "exact_online_complete",
            "",
            "1 if the last run read the entity to its end; left out if Exact does not offer it.",
            _samples_of(offered, "status", lambda status: float(status == "complete")),
        ),
        *_family(
            "exact_online_calls_today",
            "",
            "Calls to Exact Online since 00:00 UTC.",
            [({"division": d["division"]}, float(d["calls_today"])) for d in divisions],
        ),
        *_family(
            "exact_online_status_timestamp_seconds",
            "seconds",
            "When this file was written.",
            [({}, now)],
        ),
        "# EOF",
    ]
    return "\n".join(lines) + "\n"


def _samples_of(
    streams: list[Mapping[str, Any]], name: str, value: Callable[[Any], float] = float
) -> list[Sample]:
    return [
        ({"division": s["division"] or "", "entity": s["entity"]}, value(s[name]))
        for s in streams
        if s[name] is not None
    ]


def _family(name: str, unit: str, text: str, samples: list[Sample]) -> Iterator[str]:
    yield f"# TYPE {name} gauge"
    if unit:
        yield f"# UNIT {name} {unit}"
    yield f"# HELP {name} {text}"
    for labels, value in samples:
        pairs = ",".join(f'{key}="{_escape(str(given))}"' for key, given in labels.items())
        yield f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)
