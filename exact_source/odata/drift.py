"""Differences between the catalogue and ``$metadata`` of a live company."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..catalogue.catalogue import Catalogue, Entity
from ..catalogue.naming import is_plain, snake, why_no_column
from ..catalogue.overlay import VERSION
from .csdl import EntitySet

Services = Mapping[str, Mapping[str, EntitySet]]


@dataclass(frozen=True)
class Change:
    """Differences of one feed of one entity.

    Attributes:
        entity: Entity name.
        kind: Kind of the feed.
        path: Path of the feed.
        added: New fields -> type code.
        unreadable: New fields whose type has no type code in the catalogue -> type.
        clashing: New fields that cannot become columns -> reason.
        withdrawn: Fields that Exact no longer serves.
        missing: Whether the endpoint no longer exists.
    """

    entity: str
    kind: str
    path: str
    added: Mapping[str, str] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    clashing: Mapping[str, str] = field(default_factory=dict)
    withdrawn: tuple[str, ...] = ()
    missing: bool = False

    def __bool__(self) -> bool:
        return bool(
            self.added or self.unreadable or self.clashing or self.withdrawn or self.missing
        )


@dataclass(frozen=True)
class Drift:
    """All differences of the compared services.

    Attributes:
        changes: Feeds that differ.
        new: Path of a new endpoint -> its fields and key.
        namesakes: Path of a new endpoint -> the entity whose path ends with the same name. The rows may
            still differ: a feed may mix headers and lines (API 4.4).
    """

    changes: tuple[Change, ...]
    new: Mapping[str, EntitySet]
    namesakes: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.changes or self.new)


def service_of(path: str) -> str:
    """The part of a path before ``$metadata``: ``crm``, ``sync/CRM``."""
    return path.rpartition("/")[0]


def services_of(entities: Iterable[Entity]) -> list[str]:
    """The services of all feeds of these entities, except feeds without a division."""
    feeds = (f for e in entities for f in e.feeds.values() if not f.no_division)
    return list(dict.fromkeys(service_of(f.path) for f in feeds))


def compare(catalogue: Catalogue, services: Services) -> Drift:
    """The differences between the catalogue and some services."""
    changes = tuple(_changes(catalogue, services))
    known = {f.path for e in catalogue.entities.values() for f in e.feeds.values()}
    known |= catalogue.unread.keys()
    new = {
        path: found
        for service, sets in services.items()
        for name, found in sets.items()
        if (path := f"{service}/{name}") not in known
    }
    return Drift(changes, dict(sorted(new.items())), _namesakes(catalogue, new))


def _namesakes(catalogue: Catalogue, paths: Iterable[str]) -> dict[str, str]:
    entities = {
        _last_part(f.path): e.name for e in catalogue.entities.values() for f in e.feeds.values()
    }
    found = {path: entities.get(_last_part(path)) for path in paths}
    return {path: name for path, name in found.items() if name is not None}


def _last_part(path: str) -> str:
    return path.rpartition("/")[2]


def _changes(catalogue: Catalogue, services: Services) -> Iterator[Change]:
    for entity in catalogue.entities.values():
        for feed in entity.feeds.values():
            sets = services.get(service_of(feed.path))
            if sets is None or feed.no_division:
                continue
            found = sets.get(feed.path.rpartition("/")[2])
            if found is None:
                change = Change(entity.name, feed.kind, feed.path, missing=True)
            else:
                change = _compare_feed(entity, feed.kind, feed.path, feed.columns, found)
            if change:
                yield change


def _compare_feed(
    entity: Entity, kind: str, path: str, columns: Collection[str], found: EntitySet
) -> Change:
    known = {*columns, *entity.navigation}
    served = {*found.columns, *found.unknown_types, *found.navigation}
    new = {f: type_code for f, type_code in found.columns.items() if f not in known}
    clashing = _clashing(new, entity.columns)
    return Change(
        entity.name,
        kind,
        path,
        added={f: type_code for f, type_code in new.items() if f not in clashing},
        unreadable={f: t for f, t in found.unknown_types.items() if f not in known},
        clashing=clashing,
        withdrawn=tuple(f for f in columns if f not in served),
    )


def _clashing(new: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Fields whose names cannot become column names -> reason."""
    taken, clashing = list(known), {}
    for name in new:
        if name in taken:  # by another feed
            continue
        if reason := why_no_column(name, taken):
            clashing[name] = reason
        else:
            taken.append(name)
    return clashing


def make_overlay(catalogue: Catalogue, drift: Drift, *, about: Mapping[str, Any]) -> dict[str, Any]:
    """The overlay that updates the catalogue to a live company.

    A new endpoint becomes a separate entity, never a feed of another one, because its grain is unknown.
    Missing endpoints stay, because a company's endpoints depend on its licence.
    """
    columns: dict[str, dict[str, Any]] = {}
    for change in drift.changes:
        if change.added or change.withdrawn:
            feeds = columns.setdefault(change.entity, {})
            feeds[change.kind] = {"add": dict(change.added), "drop": list(change.withdrawn)}
    taken = set(catalogue.entities)
    entities = {}
    for path, found in drift.new.items():
        namesake = drift.namesakes.get(path)
        name = new_name(path, taken, is_namesake=namesake is not None)
        if is_plain(name) and (record := new_record(path, found)) is not None:
            taken.add(name)
            entities[name] = record | ({"grain": grain_note(namesake)} if namesake else {})
    return {"version": VERSION, **about, "columns": columns, "entities": entities}


def new_record(path: str, found: EntitySet) -> dict[str, Any] | None:
    """A record as in ``catalogue.json``; ``None`` if its columns do not tell how to read the endpoint."""
    kind = feed_kind(path)
    key = _row_key(kind, found)
    clashing = _clashing(found.columns, ())
    if kind == "function" or not key or clashing.keys() & set(key):
        return None
    feed: dict[str, Any] = {"path": path, "page": 60 if kind == "regular" else 1000}
    if kind == "sync":
        feed["cursor"] = "Timestamp"
    elif kind == "bulk":
        feed["mandatory_select"] = True  # the fields for filters are unknown
    elif "Modified" in found.columns:
        feed["cursor"] = "Modified"
    return {
        "service": service_of(path).rpartition("/")[2],
        "key": key,
        "feeds": {kind: feed},
        "columns": {f: x for f, x in found.columns.items() if f not in clashing},
        "navigation": list(found.navigation),
    }


def feed_kind(path: str) -> str:
    """The kind of feed of a path: ``regular``, ``bulk``, ``sync`` or ``function``."""
    first = path.split("/", 1)[0]
    return {"sync": "sync", "bulk": "bulk", "read": "function"}.get(first, "regular")


def _row_key(kind: str, found: EntitySet) -> list[str]:
    # The OData key of sync feeds is the row version, which changes with the row.
    if kind == "sync":
        return ["ID"] if "ID" in found.columns else []
    return [name for name in found.key if name in found.columns]


def grain_note(namesake: str) -> str:
    """Note in the description of a new table if another entity has the same name."""
    return (
        f"Grain not known: maybe not the rows of {namesake}, such as headers and lines in one feed."
    )


def new_name(path: str, taken: Collection[str], *, is_namesake: bool = False) -> str:
    """An unused table name; it ends in the kind of feed if another path has the same last part."""
    parts, kind = path.split("/"), feed_kind(path)
    plain = snake(parts[-1])
    first = f"{kind}_{plain}" if is_namesake and kind != "regular" else plain
    for name in (first, f"{snake(parts[-2])}_{plain}", f"{kind}_{plain}"):
        if name not in taken:
            return name
    return "_".join(snake(part) for part in parts)
