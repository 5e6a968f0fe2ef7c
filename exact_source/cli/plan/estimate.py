"""Estimates each stream of the next sync, from counts at Exact or from earlier syncs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...catalogue.feeds import deletes_of, plan_feeds
from ...catalogue.parameters import count_combinations, parents_of, sources_of
from ...clock import dutch_day
from ...engine.key_sync import calls_for, why_postponed
from .._output.stored_syncs import syncs_of_changes
from .schedule import StreamPlan, in_order, usual_calls

if TYPE_CHECKING:
    from ...catalogue import Entity
    from ...catalogue.feeds import Plan
    from ...engine.key_sync import calls_for
    from .planner import Planner
from .schedule import Allowance, Basis


def estimate(planner: Planner) -> list[StreamPlan]:
    """Estimates each entity of each division, in the order of reading."""
    ranks = {name: turn for turn, name in enumerate(planner.chosen)} | {"deleted": -1}
    return in_order([*_once(planner), *_by_division(planner)], ranks)


def with_key_notes(
    planner: Planner,
    streams: Iterable[StreamPlan],
    allowances: Mapping[int, Allowance],
    contract_cap: int | None,
) -> Iterator[StreamPlan]:
    """The streams, with a note on those whose keys can never be compared within a day."""
    for stream in streams:
        key, entity = (stream.division, stream.entity), planner.catalogue.entities[stream.entity]
        plan = plan_feeds(entity, planner.run.options.route)
        if deletes_of(entity, plan.column) != "keys" or stream.division not in allowances:
            yield stream
            continue
        cursor = planner.memory.cursors.get(key)
        rows = planner.counts.rows.get(key) or planner.memory.rows.get(key, 0)
        needed = max(cursor.pages if cursor else 0, calls_for(rows, stream.page_size))
        most = allowances[stream.division].full_day()
        why = why_postponed(needed, None, most if contract_cap is None else min(most, contract_cap))
        yield replace(stream, note="; ".join(filter(None, (stream.note, why))))


def _once(planner: Planner) -> Iterator[StreamPlan]:
    """The entities that are read once for all divisions."""
    for name in dict.fromkeys(["divisions", *planner.chosen]):
        entity = planner.catalogue.entities[name]
        if entity.division_from is None:
            continue
        rows = len(planner.divisions) if name == "divisions" else 1
        size = planner.page_size(entity.feeds["regular"])
        yield StreamPlan(0, name, "regular", size, rows, calls_for(rows, size), "one call")


def _by_division(planner: Planner) -> Iterator[StreamPlan]:
    tombstones = "deleted" in planner.chosen or any(
        entity.deleted_code is not None for entity, _ in planner.entities()
    )
    for division in planner.open_divisions:
        if tombstones:
            note = "tombstones, for all entities"
            size = planner.page_size(planner.catalogue.entities["deleted"].feeds["sync"])
            yield StreamPlan(division.code, "deleted", "sync", size, None, 1, "unknown", note)
        for entity, plan in planner.entities():
            if planner.is_denied(division.code, entity.name):
                yield _denied(planner, division.code, entity, plan)
            else:
                yield _stream(planner, division.code, entity, plan)


def _denied(planner: Planner, division: int, entity: Entity, plan: Plan) -> StreamPlan:
    note, size = "no module, right or scope; not asked for", planner.page_size(plan.full)
    return StreamPlan(division, entity.name, plan.label, size, None, 0, "not available", note)


def _stream(planner: Planner, division: int, entity: Entity, plan: Plan) -> StreamPlan:
    key, counts = (division, entity.name), planner.counts
    size = planner.page_size(plan.full)

    def made(rows: int | None, calls: int, basis: Any, note: str = "") -> StreamPlan:
        return StreamPlan(division, entity.name, plan.label, size, rows, calls, basis, note)

    if plan.full.parameters:
        return made(None, *_of_function(planner, division, entity, plan))
    if planner.is_known(division, entity.name):
        return made(*_from_history(planner, key, plan))
    if key in counts.refused:
        return made(None, 1, "refused", counts.refused[key])
    if key in counts.rows:
        return made(*_from_count(planner, key, size))
    if plan.full.kind == "function":
        return made(None, 1, "one call")
    return made(None, 1, "unknown", "not counted; at least one call")


def _of_function(
    planner: Planner, division: int, entity: Entity, plan: Plan
) -> tuple[int, Basis, str]:
    """One call for each value of the parameters."""

    def rows_in(parent: str) -> int | None:
        key = (division, parent)
        return planner.counts.rows.get(key, planner.memory.rows.get(key))

    today = dutch_day(planner.run.clock.now())
    sources, given = sources_of(entity, plan.full), planner.run.options.parameters
    calls = count_combinations(sources, given, rows_in, today)
    if calls is not None:
        return calls, "count", ""
    return 1, "unknown", f"a call for each of {', '.join(parents_of(sources, given))}"


def _from_history(
    planner: Planner, key: tuple[int, str], plan: Plan
) -> tuple[int | None, int, str]:
    if plan.column is None:
        rows = planner.memory.rows.get(key, 0)
        return rows, calls_for(rows, planner.page_size(plan.full)), "history"
    done = syncs_of_changes(planner.memory.syncs.get(key, []))
    usual = round(sum(s.rows for s in done) / len(done)) if done else 0
    return usual, usual_calls([s.calls for s in done]), "history"


def _from_count(planner: Planner, key: tuple[int, str], size: int) -> tuple[int, int, str, str]:
    counts = planner.counts
    rows, note = _still_to_read(planner, key, counts.rows[key])
    asked = key in counts.versions
    if asked:
        version = counts.versions[key]
        note = "SyncTimestamp names no row: all are read"
        note = note if version is None else f"from Timestamp {version} on, by SyncTimestamp"
    return rows, calls_for(rows, size) + asked, "count", note


def _still_to_read(planner: Planner, key: tuple[int, str], rows: int) -> tuple[int, str]:
    """Rows that are left of an incomplete first load."""
    cursor = planner.memory.cursors.get(key)
    if cursor is None or cursor.scan is None or cursor.scan.next is None:
        return rows, ""
    return max(0, rows - cursor.scan.rows), f"{cursor.scan.rows:,} rows were read before"
