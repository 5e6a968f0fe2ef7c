"""The source's state in dlt: the cursors of all streams, according to completed loads."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import dlt
from dlt.common.configuration.container import Container
from dlt.common.storages.load_package import LoadPackageStateInjectableContext

from .._version import __version__
from ..engine.cursors import Cursor
from ..engine.run import EarlierRuns, Run
from ..engine.starts import refresh_begun_at
from ..engine.tombstones import reads_tombstones, starts_of
from ..errors import ConfigurationError
from ..options import Options
from .entity_resource import table_names
from .entries import Entries, codes_of, items_of

# The resource of the sync log; all other resources are entities.
LOG_RESOURCE = "exact_syncs"
# Key in the state of a load package: entity -> id of the session that reads it, and its table.
READERS = "exact_online_readers"
# Most cursors that wait to be written. A stream has several, of which only the last is written.
WAITING_CURSORS = 64
# Keys of a state entry that do not belong to the cursor.
_ENTRY = frozenset({"load_id", "before", "columns"})


class DivisionStates:
    """Cursors of one entity, by division, in dlt's resource state.

    dlt keeps the state locally even if its load never arrives (a failed job, a dropped package, a lost
    disk). Each entry therefore names its load package and keeps the previous entry; the newest entry
    whose package the destination lists as loaded is used.

    Each entry also has the number of the set of columns with which its rows were loaded. The sets
    themselves are stored once, next to the entries.

    Args:
        name: Name of the entity.
        arrived: Load packages that the destination lists as loaded.
        columns: Columns with which rows are loaded now.
        window: Name of a window, which has separate cursors; empty for the entity's.

    Attributes:
        known: Whether any division was read before.
    """

    def __init__(
        self, name: str, arrived: set[str], columns: Iterable[str], window: str = ""
    ) -> None:
        state: MutableMapping[str, Any] = dlt.current.resource_state(name)
        if window:
            state = state.setdefault("windows", {}).setdefault(window, {})
        self._name = name
        self._entries = Entries(state)
        self._load_id = load_id()
        self._arrived = arrived
        self.known = any(True for _ in codes_of(state))
        self._cursors: dict[int, Cursor] = {}  # that wait to be written
        self._sets: MutableMapping[str, list[str]] = state.setdefault("columns", {})
        self._columns = sorted(columns)
        self._resource_state = state

    def unreadable(self, division: int) -> str:
        """Mark of the last webhook about a division that could not be read; empty if there is none."""
        return str(self._resource_state.get("unreadable", {}).get(str(division), ""))

    def note_unreadable(
        self, divisions: Iterable[int], notices: Mapping[tuple[str, int], str]
    ) -> None:
        """Clear the webhooks of divisions that are closed, or that the app may not see."""
        for division in divisions:
            marks = self._resource_state.setdefault("unreadable", {})
            marks[str(division)] = notices[self._name, division]

    def cursor(self, division: int) -> Cursor:
        """The cursor of a division, according to completed loads."""
        entry = self._before(division) or {}
        before = self._sets.get(entry.get("columns", ""), self._columns)
        lacks = (
            () if before == self._columns else tuple(sorted(set(self._columns).difference(before)))
        )
        return stored_cursor(entry, lacks)

    def _before(self, division: int) -> Mapping[str, Any] | None:
        return arrived_entry(self._entries.earlier(division), self._arrived)

    def store(self, division: int, cursor: Cursor) -> None:
        """Set a division's cursor; ``write`` commits it with this load."""
        self._cursors[division] = cursor  # even a stream without new rows sets two or three
        if len(self._cursors) >= WAITING_CURSORS:
            self.write()
            self._entries.trim()

    def write(self) -> None:
        """Write the cursors, to be committed with this load."""
        for division, cursor in self._cursors.items():
            self._write(division, cursor)
        self._cursors.clear()

    def close(self) -> None:
        """Write the cursors after the last row."""
        self.write()
        self._entries.pack()

    def _write(self, division: int, cursor: Cursor) -> None:
        before = self._before(division)
        entry = {**cursor.to_state(), "load_id": self._load_id}
        entry["columns"] = before["columns"] if cursor.lacks and before else self._number()
        if before:
            entry["before"] = {k: v for k, v in before.items() if k != "before"}
        self._entries.set(division, entry)

    def _number(self) -> str:
        """Number of the current set of columns."""
        for number, columns in self._sets.items():
            if columns == self._columns:
                return number
        number = str(len(self._sets) + 1)
        self._sets[number] = self._columns
        return number


def tombstone_starts(arrived: set[str]) -> dict[tuple[int, int], int]:
    """Where the next read of ``sync/Deleted`` begins, for all entities of this run.

    Each entity stores which tombstones it has applied, because the selected entities may change from run
    to run. Divisions that are not in the result are read from the beginning.

    Returns:
        As ``starts_of`` does.
    """
    names = filter(reads_tombstones, selected_entities())
    states = {name: dlt.current.resource_state(name) for name in names}
    starts = starts_of(
        (int(code), arrived_entry(entry, arrived) or {})
        for state in states.values()
        for code, entry in items_of(state)
    )
    listed = states.get("deleted")
    if listed is not None:  # the table of tombstones itself may be new
        known = {int(code) for code, entry in items_of(listed) if arrived_entry(entry, arrived)}
        starts = {at: since for at, since in starts.items() if at[0] in known}
    return starts


def selected_entities() -> frozenset[str]:
    """Entities that are extracted now."""
    return frozenset(table_names())


def earlier_runs(arrived: set[str], options: Options) -> EarlierRuns:
    """The state of earlier runs.

    Args:
        arrived: Load packages that the destination lists as loaded.
        options: The user's options.
    """
    selected, state = selected_entities(), dlt.current.source_state()
    return EarlierRuns(
        selected=selected,
        tombstones=tombstone_starts(arrived),
        divisions=known_divisions(),
        errors=state.get("errors", {}),
        withdrawn=state.get("withdrawn", {}),
        refresh_asked_at=refresh_under_way(selected.intersection(options.full_refresh), arrived),
        cursors=lambda: {name: _cursors(name, arrived, options.window) for name in table_names()},
    )


def _cursors(name: str, arrived: set[str], window: str) -> dict[int, Cursor]:
    return {code: stored_cursor(entry) for code, entry in _arrived(name, arrived, window)}


def _arrived(name: str, arrived: set[str], window: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Code and entry of each division of an entity, according to completed loads."""
    state = dlt.current.resource_state(name)
    if window:
        state = state.get("windows", {}).get(window, {})
    for code, entry in items_of(state):
        if found := arrived_entry(entry, arrived):
            yield int(code), found


def divisions_read(name: str, arrived: set[str], window: str) -> frozenset[int]:
    """Divisions of which an entity was read before, according to completed loads."""
    return frozenset(code for code, _ in _arrived(name, arrived, window))


def refresh_under_way(names: Iterable[str], arrived: set[str]) -> float | None:
    """Start of an incomplete full refresh of these entities; ``None`` if there is none."""
    states = map(dlt.current.resource_state, names)
    return refresh_begun_at(
        arrived_entry(entry, arrived) or {} for state in states for _, entry in items_of(state)
    )


def refuse_second_reader(session: str) -> None:
    """Refuse to read an entity for two sources in one run, because they share its table or its cursors.

    One source could have new rows and the other changes, but a load either appends or merges. Clones of
    the source have cursors and load packages of their own. If they share a table, both would append the
    same rows, because dlt loads nothing before it has read all sources of a run.

    Args:
        session: Id of the session that reads now.

    Raises:
        ConfigurationError: If another source of this run reads one of its entities, for the same load
            package or into the same table.
    """
    state: Any = dlt.current.load_package_state()["state"]
    own, clones = state.setdefault(READERS, {}), list(_readers_of_clones())
    for entity, table in table_names().items():
        reader = {"session": session, "table": table}
        is_shared = any(others.get(entity, {}).get("table") == table for others in clones)
        if own.setdefault(entity, reader)["session"] != session or is_shared:
            raise ConfigurationError(
                f"{entity} is read by two sources in one run; use one source with the divisions of both, or "
                "run one after the other"
            )


def _readers_of_clones() -> Iterator[Mapping[str, Any]]:
    """The readers of the other load packages that this run has extracted, one for each source name."""
    context = Container()[LoadPackageStateInjectableContext]
    for other in context.storage.list_packages():
        if other != context.load_id:
            state: Any = context.storage.get_load_package_state(other)
            yield state.get(READERS, {})


def refuse_newer_version() -> None:
    """Refuse cursors of a newer version, whose meaning may differ.

    Patch releases write the same cursors. The state of 0.1.0 has no version.

    Raises:
        ConfigurationError: If the state was written by a later minor or major version.
    """
    written = str(dlt.current.source_state().get("version", ""))
    own = __version__
    if _release(written) > _release(own):
        raise ConfigurationError(
            f"these tables were last synced by exact-source {written}, and this is {own}, which "
            f"may misread its cursors: install {written} or newer, or sync into another --dataset "
            "with another --pipeline"
        )


def _release(version: str) -> tuple[int, ...]:
    """Major and minor number; ``(0, 0)`` if there is none."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def remember(run: Run) -> None:
    """Store for the next run: the errors of the past hour (API 2.3), withdrawn columns, the version."""
    errors, state = run.limits.errors(run.clock.now()), dlt.current.source_state()
    if state.get("version") != __version__:
        state["version"] = __version__
    if state.get("errors", {}) != errors:
        state["errors"] = errors
    withdrawn = {path: list(withdrawn) for path, withdrawn in run.connection.withdrawn.items()}
    if state.get("withdrawn", {}) != withdrawn:
        state["withdrawn"] = withdrawn


def known_divisions() -> list[int]:
    """Codes of the divisions of earlier runs."""
    states = dlt.current.source_state().get("resources", {}).values()
    return sorted({int(code) for state in states for code in codes_of(state)})


def load_id() -> str:
    """Id of the load package that is being extracted; empty if a resource is iterated without a pipeline."""
    return str(dlt.current.load_package_state()["load_id"]) if is_extracting() else ""


def is_extracting() -> bool:
    """Whether a pipeline extracts, and not a script that iterates a resource."""
    return LoadPackageStateInjectableContext in Container()


def all_entries() -> Iterator[Mapping[str, Any]]:
    """The state entries of all entities and divisions."""
    for state in dlt.current.source_state().get("resources", {}).values():
        for held in (state, *state.get("windows", {}).values()):
            yield from (entry for _, entry in items_of(held))


def load_ids(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Ids of the load packages in state entries."""
    found = set()
    for entry in entries:
        found.add(entry.get("load_id", ""))
        found.add(entry.get("before", {}).get("load_id", ""))
    return found - {""}


def arrived_entry(entry: Mapping[str, Any], arrived: set[str]) -> Mapping[str, Any] | None:
    """The newest of an entry and its predecessor whose load package arrived."""
    if entry.get("load_id") in arrived:
        return entry
    before: Mapping[str, Any] = entry.get("before", {})
    return before if before.get("load_id") in arrived else None


def stored_cursor(entry: Mapping[str, Any], lacks: tuple[str, ...] = ()) -> Cursor:
    """The cursor in a state entry."""
    return Cursor.from_state({k: v for k, v in entry.items() if k not in _ENTRY}, lacks)
