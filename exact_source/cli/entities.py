"""``exact-source entities``: what can be read and how; and what a live company has beyond it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._output.options import AsJson, BaseUrl, Entities, Region

if TYPE_CHECKING:
    from ..catalogue import Catalogue, Entity, Feed

REFRESH = "refresh"
WITH_REFRESH = "With refresh"

# Type letter -> what it is in the destination.
TYPES = {
    "g": "text (guid)",
    "s": "text",
    "f": "double",
    "m": "decimal(38, 9)",
    "i": "integer",
    "h": "integer (16 bits)",
    "y": "integer (8 bits)",
    "l": "bigint",
    "t": "timestamp without zone",
    "b": "boolean",
    "x": "binary (left out)",
}
LIST_COLUMNS = ("name", "feed", "path", "cursor", "key", "rows_per_call", "deletes", "columns")


def entities(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|refresh]",
            help="An entity, for all of its columns and feeds; or refresh, which reads $metadata of "
            "a live company and reports what the shipped catalogue does not know.",
        ),
    ] = None,
    core: Annotated[
        bool, typer.Option("--core/--all", help="The default set only, or every entity.")
    ] = False,
    unread: Annotated[
        bool, typer.Option("--unread", help="List what is not read, and why.")
    ] = False,
    division: Annotated[
        int | None,
        typer.Option(
            metavar="CODE",
            help="Company to ask. Default: the first that is open.",
            rich_help_panel=WITH_REFRESH,
        ),
    ] = None,
    chosen: Entities = None,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write an overlay; it is used if sources.exact_online.catalogue_overlay names it.",
            rich_help_panel=WITH_REFRESH,
        ),
    ] = None,
    region: Region = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List what can be read: by which feed, with which cursor, key and columns. No call is made.

    Example: exact-source entities accounts  -  exact-source entities --unread  -
    exact-source entities refresh --write .dlt/exact_online_overlay.json
    """
    if name == REFRESH:
        from .refresh import refresh

        refresh(context, division, chosen, write, region, base_url, as_json)
    elif name is not None:
        show_one(name, as_json=as_json)
    elif unread:
        show_unread(as_json=as_json)
    else:
        show_list(chosen, core=core, as_json=as_json)


def show_list(chosen: str | None, *, core: bool, as_json: bool) -> None:
    """The table of entities."""
    from ..catalogue import load_catalogue
    from ._output.tables import make_console, make_table, print_json

    catalogue = load_catalogue()
    names: Iterable[str] = catalogue.core if core else catalogue.entities
    if chosen is not None:
        from ..source import choose_entities

        names = choose_entities(chosen, catalogue)
    rows = [summarise(catalogue, catalogue.entities[name]) for name in names]
    if as_json:
        print_json({"entities": rows})
        return
    lines = [[_shown(row[column]) for column in LIST_COLUMNS] for row in rows]
    make_console().print(make_table(LIST_COLUMNS, lines, right=("rows_per_call", "columns")))


def show_one(name: str, *, as_json: bool) -> None:
    """All there is to know of one entity.

    Raises:
        ConfigurationError: If there is no such entity.
    """
    from ..catalogue import load_catalogue
    from ._output.tables import print_json

    catalogue = load_catalogue()
    if name not in catalogue.entities:
        from ..source import choose_entities

        choose_entities(name, catalogue)  # raises, with the nearest names
    entity = catalogue.entities[name]
    document = summarise(catalogue, entity) | {
        "columns": describe_columns(entity),
        "feeds": [describe_feed(feed) for feed in entity.feeds.values()],
    }
    if as_json:
        print_json(document)
    else:
        _print_one(document)


def _print_one(document: dict[str, Any]) -> None:
    from ._output.tables import make_console, make_table

    console = make_console()
    facts = [(k, _shown(v)) for k, v in document.items() if k not in {"columns", "feeds"}]
    console.print(make_table(("", ""), [(k.replace("_", " "), v) for k, v in facts if v]))
    for feed in document["feeds"]:
        console.print(f"\n{feed['kind']} feed", style="bold")
        rules = [(k.replace("_", " "), _shown(v)) for k, v in feed.items() if k != "kind"]
        console.print(make_table(("", ""), [(k, v) for k, v in rules if v]))
    columns = ("field", "column", "type", "feeds")
    rows = [[_shown(column[c]) for c in columns] for column in document["columns"]]
    console.print(f"\n{len(rows)} columns", style="bold")
    console.print(make_table(columns, rows))


def show_unread(*, as_json: bool) -> None:
    """What is not read, and why."""
    from ..catalogue import load_catalogue
    from ..catalogue.parameters import reason_not_read
    from ._output.tables import make_console, make_table, print_json

    catalogue = load_catalogue()
    rows = [{"path": path, "entity": None, "why": why} for path, why in catalogue.unread.items()]
    for entity in catalogue.entities.values():
        if reason := reason_not_read(entity):
            feed = next(iter(entity.feeds.values()))
            rows.append({"path": feed.path, "entity": entity.name, "why": reason})
    if as_json:
        print_json({"unread": rows})
        return
    columns = ("path", "entity", "why")
    make_console().print(make_table(columns, [[row[c] for c in columns] for row in rows]))


def summarise(catalogue: Catalogue, entity: Entity) -> dict[str, Any]:
    """How an entity is read, in plain values."""
    from ..catalogue.feeds import deletes_of, plan_feeds, start_date_of

    plan = plan_feeds(entity)
    changes = plan.increment.path if plan.increment and plan.increment is not plan.full else None
    return {
        "name": entity.name,
        "core": entity.name in catalogue.core,
        "feed": plan.label,
        "path": plan.full.path,
        "changes_path": changes,
        "cursor": plan.column,
        "key": list(entity.key),
        "rows_per_call": plan.full.page_size,
        "deletes": deletes_of(entity, plan.column),
        "start_date": start_date_of(entity, plan),
        "columns": len(plan.fields),
        "service": entity.service,
        "scope": entity.scope,
        "module": entity.module,
        "grain": entity.grain,
        "read_once": entity.division_from is not None,
        "needs": needs_parameters(entity),
        "deprecated": entity.deprecated,
    }


def needs_parameters(entity: Entity) -> str | None:
    """What a function is asked with, or why it is not read; ``None`` if nothing."""
    from ..catalogue.parameters import reason_not_read, sources_of

    if reason := reason_not_read(entity):
        return f"not read: {reason}"
    asked = [
        f"each {s.parent}.{s.column}" if s.parent else f"parameters.{s.setting}"
        for feed in entity.feeds.values()
        for s in sources_of(entity, feed).values()
    ]
    return ", ".join(asked) or None


def describe_columns(entity: Entity) -> list[dict[str, Any]]:
    """Every column, its type in the destination, and the feeds that serve it."""
    return [
        {
            "field": column.field,
            "column": "division" if column.field == "Division" else column.name,
            "type": "integer" if column.field == "Division" else TYPES[column.letter],
            "feeds": [kind for kind, feed in entity.feeds.items() if column.field in feed.columns],
        }
        for column in entity.columns.values()
    ]


def describe_feed(feed: Feed) -> dict[str, Any]:
    """The rules of one endpoint."""
    return {
        "kind": feed.kind,
        "path": feed.path,
        "rows_per_call": feed.page_size,
        "cursor": feed.cursor,
        "columns": len(feed.columns),
        "filters_on": None if feed.filterable is None else list(feed.filterable),
        "must_filter_on_one_of": list(feed.mandatory_filter),
        "must_select": feed.mandatory_select,
        "refuses_select_star": feed.no_star,
        "parameters": {
            name: {"type": TYPES[letter], "required": required}
            for name, (letter, required) in feed.parameters.items()
        },
        "takes_a_start_date": feed.start_date,
        "beta": feed.beta,
        "url_has_no_division": feed.no_division,
    }


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(
            f"{name} ({'required' if rule['required'] else 'optional'})"
            for name, rule in value.items()
        )
    return value
