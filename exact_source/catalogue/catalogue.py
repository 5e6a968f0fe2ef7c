"""Loads ``catalogue.json``: what Exact Online offers, and how each entity is read.

The file is read once; an entity becomes objects when it is first asked for, so that commands which
need three entities do not pay for 349.
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
        field: Exact's name, as ``$select`` wants it.
        name: Column name in the destination.
        letter: Type: g guid, s string, f double, m money, i int32, h int16, y byte, l int64,
            t datetime, b bool, x binary.
    """

    field: str
    name: str
    letter: str


@dataclass(frozen=True, slots=True)
class Feed:
    """One endpoint that serves the rows of an entity.

    Attributes:
        path: Below ``/api/v1/{division}/``, or below ``/api/v1/`` if ``no_division``.
        page_size: Rows that Exact puts in a full page.
        cursor: Field that can be filtered on for changes; ``None``: all rows are read each time.
        columns: Fields that this endpoint serves.
        filterable: The only fields that ``$filter`` may name; ``None`` if nothing is known.
        mandatory_filter: ``$filter`` must name one of these; empty if none is needed.
        mandatory_select: The endpoint answers 400 without ``$select``.
        no_star: ``$select=*`` is refused.
        parameters: Query parameters: name -> (type letter, required).
        unknown_parameters: It takes parameters that are documented nowhere.
        start_date: ``SyncTimestamp`` turns a date into a first ``Timestamp`` for it.
        beta: Exact calls it beta.
        no_division: The URL has no division.
        withdrawn: Fields that it served once, as an overlay says.
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
    unknown_parameters: bool
    start_date: bool
    beta: bool
    no_division: bool
    withdrawn: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entity:
    """A table: one kind of rows, served by one or more feeds.

    Attributes:
        name: Table and resource name.
        service: Exact's service, in lower case as in the URL of the plain endpoint.
        key: Fields that identify a row within its division; empty if none are documented.
        columns: Field -> column, over all feeds.
        feeds: Kind -> feed.
        deleted_code: ``EntityType`` of its rows in ``sync/Deleted``; ``None``: no tombstones.
        grain: What a row is, where the endpoint's name suggests otherwise.
        scope: Right that the app needs, in Exact's words.
        module: What the company needs of Exact Online beside that; ``None`` where nothing is documented.
        division_from: Field that holds the row's own division; such an entity is read once a run.
        any_division: Rows speak of other divisions than the one that was asked.
        navigation: Fields that hold links to other rows, or these rows if expanded.
        deprecated: Exact's remark, if it is on its way out.
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
    """Name -> entity, each made when it is first looked up."""

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
    """Everything that can be read, and why the rest cannot.

    Attributes:
        entities: Name -> entity, in alphabetical order.
        core: Names that are loaded unless others are asked for.
        unread: Path of an endpoint that is no entity -> the reason.
    """

    entities: Mapping[str, Entity]
    core: tuple[str, ...]
    unread: Mapping[str, str]


@cache
def load_catalogue() -> Catalogue:
    """The shipped catalogue, with the overlay that the settings name; read once per process.

    Raises:
        ConfigurationError: If there is an overlay that cannot be used.
    """
    return read_catalogue(overlay_path())


def read_catalogue(overlay: Path | None = None) -> Catalogue:
    """The shipped catalogue, with an overlay on it if there is one.

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
    """One record of the JSON as an object; what it leaves out takes its default."""
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
    """One feed of a record of the JSON."""
    without = frozenset(raw.get("without", ()))
    parameters = {
        name: (letter, must) for name, (letter, must) in raw.get("parameters", {}).items()
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
        unknown_parameters=raw.get("unknown_parameters", False),
        start_date=raw.get("start_date", False),
        beta=raw.get("beta", False),
        no_division=raw.get("no_division", False),
        withdrawn=tuple(raw.get("withdrawn", ())),
    )
