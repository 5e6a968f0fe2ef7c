"""The plan in plain values: each stream, each division, and the totals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from .._output.tables import iso_instant
from ..divisions import status_text
from .estimate import estimate, with_key_notes
from .schedule import allowance_of, calls_by_division, duration

if TYPE_CHECKING:
    from ...engine.divisions import Division
    from .planner import Planner
    from .schedule import Allowance, Duration


def make_report(planner: Planner, reserve: int, contract_cap: int | None) -> dict[str, Any]:
    """The plan in plain values.

    Raises:
        ConfigurationError: If the reserve or the cap leaves no calls.
    """
    run, limit, now = planner.run, planner.counts.limit, planner.run.clock.now()
    streams = estimate(planner)
    calls = calls_by_division(streams, [d.code for d in planner.open_divisions])
    allowances = {code: allowance_of(run.limits, code) for code in calls}
    rows = [s.rows for s in streams if s.rows is not None]
    known = all(s.rows is not None or s.basis == "one call" for s in streams)
    spent = planner.memory.all_calls_today + run.limits.calls
    try:
        total = duration(
            calls, allowances, now=now, contract_cap=contract_cap, contract_spent=spent
        )
    except ValueError as error:
        raise ConfigurationError(f"--reserve-calls, --contract-cap: {error}") from None
    return {
        "order": [
            {**asdict(s), "division": s.division or None}
            for s in with_key_notes(planner, streams, allowances, contract_cap)
        ],
        "divisions": [_of_division(d, calls, allowances, now) for d in planner.divisions],
        "total": {"rows": sum(rows), "at_least": not known, **_as_json(total)},
        "reserve_calls": reserve,
        "contract_cap": contract_cap,
        "spent_calls": run.limits.calls,
        "stopped": None if limit is None else str(limit),
    }


def _of_division(
    division: Division,
    calls: Mapping[int, int],
    allowances: Mapping[int, Allowance],
    now: float,
) -> dict[str, Any]:
    code = division.code
    report = {"division": code, "name": division.name, "status": status_text(division.blocked)}
    if code not in calls:
        return report
    allowance = allowances[code]
    took = duration({code: calls[code]}, allowances, now=now)
    return report | {
        **_as_json(took),
        "minute_limit": allowance.minute,
        "day_limit": allowance.day,
        "left_today": allowance.left,
        "limits_known": allowance.left is not None,
    }


def _as_json(took: Duration) -> dict[str, Any]:
    return {**asdict(took), "ends_at": iso_instant(took.ends_at)}
