"""Loads ``catalogue.json``: the entities of Exact Online, and how each is read.

The file is read once. An entity is parsed when it is first looked up, so that a command that needs three
entities does not spend time on 350.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .naming import snake
from .overlay import apply_overlay, overlay_path, read_overlay

Kind = Literal["regular", "bulk", "sync", "function"]
Cursor = Literal["Modified", "Timestamp"]


@dataclass(frozen=True, slots=True)
class Column:
    """A field of an entity.

    Attributes:
        field: Exact's name, as in ``$select``.
        name: Column name in the destination.
        type_code: Type: g guid, s string, f double, m money, i int32, h int16, y byte, l int64,
            t datetime, b bool, x binary.
    """

    field: str
    name: str
    type_code: str


@dataclass(frozen=True, slots=True)
class Feed:
    """One endpoint that serves the rows of an entity.

    Attributes:
        path: Below ``/api/v1/{division}/``, or below ``/api/v1/`` if ``no_division``.
        page_size: Rows in a full page.
        cursor: Field that changes are filtered by; ``None`` if all rows are read each time.
        columns: Fields that the endpoint serves.
        filterable: The only fields that ``$filter`` may use; ``None`` if unknown.
        mandatory_filter: ``$filter`` must use one of these fields; empty if no filter is needed.
        mandatory_select: Without ``$select`` the endpoint answers 400.
        no_star: The endpoint refuses ``$select=*``.
        parameters: Query parameters with values from rows or settings: name -> (type code, required).
        fixed: Query parameters that are always sent with one value: name -> (type code, value).
        empty_refusal: Text of the 400 that means "no rows"; empty if no refusal means that.
        unknown_parameters: The endpoint takes parameters that no source documents.
        evidence: Sources of the parameters; names in ``tools/catalogue/decisions.py``.
        start_date: ``SyncTimestamp`` gives a first ``Timestamp`` for a date.
        beta: The path is below ``/api/v1/beta/``.
        no_division: The URL has no division.
        withdrawn: Fields that Exact has withdrawn since the release, according to an overlay.
    """

    kind: Kind
    path: str
    page_size: int
    cursor: Cursor | None
    columns: tuple[str, ...]
    filterable: tuple[str, ...] | None
    mandatory_filter: tuple[str, ...]
    mandatory_select: bool
    no_star: bool
    parameters: Mapping[str, tuple[str, bool]]
    fixed: Mapping[str, tuple[str, str]]
    empty_refusal: str
    unknown_parameters: bool
    evidence: tuple[str, ...]
    start_date: bool
    beta: bool
    no_division: bool
    withdrawn: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entity:
    """A table: rows of one kind, served by one or more feeds.

    Attributes:
        name: Table and resource name.
        service: Exact's service, as in the path.
        key: Fields that identify a row within its division; empty if no key is documented.
        columns: Field -> column, over all feeds.
        feeds: Kind -> feed.
        deleted_code: ``EntityType`` of its rows in ``sync/Deleted``; ``None`` if no tombstones exist.
        grain: Meaning of a row, if the endpoint's name suggests another.
        scope: OAuth scope that the app needs, in Exact's words.
        module: Packages of Exact Online that have the entity; ``None`` if nothing is known.
        division_from: Field that holds the row's own division; such an entity is read once a run.
        any_division: Rows may belong to other divisions than the requested one.
        navigation: Fields with links to other rows, or with these rows if expanded.
        deprecated: Exact's remark, if the endpoint is deprecated.
    """

    name: str
    service: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    feeds: Mapping[Kind, Feed]
    deleted_code: int | None
    grain: str | None
    scope: str | None
    module: str | None
    division_from: str | None
    any_division: bool
    navigation: tuple[str, ...]
    deprecated: str | None


class Entities(Mapping[str, Entity]):
    """Name -> entity; each is parsed when it is first looked up."""

    def __init__(self, raw: Mapping[str, Mapping[str, Any]]) -> None:
        self._raw = raw
        self._made: dict[str, Entity] = {}

    def __getitem__(self, name: str) -> Entity:
        if name not in self._made:
            self._made[name] = parse_entity(name, self._raw[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    def __contains__(self, name: object) -> bool:
        return name in self._raw


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All entities, and the endpoints that are not read.

    Attributes:
        entities: Name -> entity, in alphabetical order.
        core: Names of the default entities.
        unread: Path of an endpoint that is not an entity -> the reason.
    """

    entities: Mapping[str, Entity]
    core: tuple[str, ...]
    unread: Mapping[str, str]


@cache
def load_catalogue() -> Catalogue:
    """The shipped catalogue with the overlay of the settings; read once per process.

    Raises:
        ConfigurationError: If the overlay cannot be used.
    """
    return read_catalogue(overlay_path())


def read_catalogue(overlay: Path | None = None) -> Catalogue:
    """The shipped catalogue, with an overlay if one is given.

    Raises:
        ConfigurationError: If the overlay cannot be used.
    """
    raw = json.loads(Path(__file__).with_name("catalogue.json").read_bytes())
    entities = raw["entities"]
    if overlay is not None:
        entities = apply_overlay(entities, read_overlay(overlay))
    return Catalogue(
        entities=Entities(entities),
        core=tuple(raw["core"]),
        unread=raw["unread"],
    )


def parse_entity(name: str, raw: Mapping[str, Any]) -> Entity:
    """The entity of one record of the JSON; missing keys have their defaults."""
    fields: dict[str, str] = raw["columns"]
    return Entity(
        name=name,
        service=raw["service"],
        key=tuple(raw["key"]),
        columns={f: Column(f, snake(f), t) for f, t in fields.items()},
        feeds={k: parse_feed(k, f, fields) for k, f in raw["feeds"].items()},
        deleted_code=raw.get("deleted_code"),
        grain=raw.get("grain"),
        scope=raw.get("scope"),
        module=raw.get("module"),
        division_from=raw.get("division_from"),
        any_division=raw.get("any_division", False),
        navigation=tuple(raw.get("navigation", ())),
        deprecated=raw.get("deprecated"),
    )


def parse_feed(kind: Kind, raw: Mapping[str, Any], fields: Mapping[str, str]) -> Feed:
    """The feed of one record of the JSON."""
    without = frozenset(raw.get("without", ()))
    parameters = {
        name: (type_code, must) for name, (type_code, must) in raw.get("parameters", {}).items()
    }
    return Feed(
        kind=kind,
        path=raw["path"],
        page_size=raw["page"],
        cursor=raw.get("cursor"),
        columns=tuple(f for f in fields if f not in without),
        filterable=tuple(raw["filter"]) if "filter" in raw else None,
        mandatory_filter=tuple(raw.get("mandatory_filter", ())),
        mandatory_select=raw.get("mandatory_select", False),
        no_star=raw.get("no_star", False),
        parameters=parameters,
        fixed={
            name: (type_code, value) for name, (type_code, value) in raw.get("fixed", {}).items()
        },
        empty_refusal=raw.get("empty", ""),
        unknown_parameters=raw.get("unknown_parameters", False),
        evidence=tuple(raw.get("evidence", ())),
        start_date=raw.get("start_date", False),
        beta=raw.get("beta", False),
        no_division=raw.get("no_division", False),
        withdrawn=tuple(raw.get("withdrawn", ())),
    )
