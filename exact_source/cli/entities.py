"""``exact-source entities``: lists the entities and their feeds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError
from ._output.options import OUTPUT, AsJson, BaseUrl, Entities, Region
from ._output.tables import Column
from .divisions import parse_code

if TYPE_CHECKING:
    from ..catalogue import Catalogue, Entity, Feed

REFRESH = "refresh"
WITH_REFRESH = "With refresh"

# Type code -> type in the destination.
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
LIST_COLUMNS = (
    Column("name"),
    Column("feed"),
    Column("path", rank=3),
    Column("cursor", rank=1),
    Column("key", rank=5),
    Column("rows per call", right=True, rank=2),
    Column("deletes"),
    Column("columns", right=True, rank=4),
)

FACT_COLUMNS = (Column(""), Column("", wraps=True))
FIELD_COLUMNS = (Column("field", rank=1), Column("column"), Column("type"), Column("feeds", rank=2))
UNREAD_COLUMNS = (Column("path"), Column("entity", rank=1), Column("why", wraps=True))


def entities(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|refresh",
            help="An entity, to show its columns and feeds; or refresh, which compares the catalogue "
            "with the $metadata of a live company.",
        ),
    ] = None,
    core: Annotated[
        bool | None,
        typer.Option(
            "--core/--all",
            help="The default set, or every entity. Default: --core; with --json --all.",
            show_default=False,
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    unread: Annotated[
        bool,
        typer.Option(
            "--unread",
            help="List the endpoints that are not read, and why.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    division: Annotated[
        int | None,
        typer.Option(
            metavar="CODE",
            parser=parse_code,
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
    """List the entities that can be read: feed, cursor, key and columns. Makes no call.

    Example: exact-source entities accounts  -  exact-source entities --unread  -
    exact-source entities refresh --write .dlt/exact_online_overlay.json
    """
    if name == REFRESH:
        from .refresh import refresh

        refresh(context, division, chosen, write, region, base_url, as_json)
        return
    if write is not None or division is not None:
        option = "--division" if write is None else "--write"
        raise ConfigurationError(
            f"{option} belongs to `exact-source entities {REFRESH}`; leave it out, or write {REFRESH}"
        )
    if name is not None:
        show_one(name, as_json=as_json)
    elif unread:
        show_unread(as_json=as_json)
    else:
        show_list(chosen, core=core, as_json=as_json)


def show_list(chosen: str | None, *, core: bool | None, as_json: bool) -> None:
    """Print the table of entities; ``core`` is ``None`` if the option was not given."""
    from ..catalogue import load_catalogue
    from ._output.tables import make_console, print_json, print_table

    catalogue = load_catalogue()
    names: Iterable[str] = catalogue.entities
    if chosen is not None:
        from ..catalogue import choose_entities

        names = choose_entities(chosen, catalogue)
    elif core or (core is None and not as_json):
        names = catalogue.core
    rows = [summarise(catalogue, catalogue.entities[name]) for name in names]
    if as_json:
        print_json({"entities": rows})
        return
    console = make_console()
    lines = [
        [_shown(row[column.name.replace(" ", "_")]) for column in LIST_COLUMNS] for row in rows
    ]
    print_table(console, LIST_COLUMNS, lines)
    if core is None and chosen is None:
        console.print(
            f"\nthese are the core set, the default of a sync; --all lists all "
            f"{len(catalogue.entities):,} entities, and `exact-source entities NAME` shows one",
        )


def show_one(name: str, *, as_json: bool) -> None:
    """Print all facts about one entity.

    Raises:
        ConfigurationError: If there is no such entity.
    """
    from ..catalogue import load_catalogue
    from ._output.tables import print_json

    catalogue = load_catalogue()
    if name not in catalogue.entities:
        from ..catalogue import choose_entities

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
    from ._output.tables import make_console, print_table

    console = make_console()
    facts = [(k, _shown(v)) for k, v in document.items() if k not in {"columns", "feeds"}]
    print_table(console, FACT_COLUMNS, [(k.replace("_", " "), v) for k, v in facts if v])
    for feed in document["feeds"]:
        console.print(f"\n{feed['kind']} feed", style="bold")
        rules = [(k.replace("_", " "), _shown(v)) for k, v in feed.items() if k != "kind"]
        print_table(console, FACT_COLUMNS, [(k, v) for k, v in rules if v])
    rows = [[_shown(column[c.name]) for c in FIELD_COLUMNS] for column in document["columns"]]
    console.print(f"\n{len(rows)} columns", style="bold")
    print_table(console, FIELD_COLUMNS, rows)


def show_unread(*, as_json: bool) -> None:
    """Print the endpoints that are not read, and the reasons."""
    from ..catalogue import load_catalogue
    from ..catalogue.parameters import reason_not_read
    from ._output.tables import make_console, print_json, print_table

    catalogue = load_catalogue()
    rows = [{"path": path, "entity": None, "why": why} for path, why in catalogue.unread.items()]
    for entity in catalogue.entities.values():
        if reason := reason_not_read(entity):
            feed = next(iter(entity.feeds.values()))
            rows.append({"path": feed.path, "entity": entity.name, "why": reason})
    if as_json:
        print_json({"unread": rows})
        return
    print_table(
        make_console(), UNREAD_COLUMNS, [[row[c.name] for c in UNREAD_COLUMNS] for row in rows]
    )


def summarise(catalogue: Catalogue, entity: Entity) -> dict[str, Any]:
    """The facts about an entity, as plain values."""
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
    """The parameters of a function, or the reason why it is not read; ``None`` without parameters."""
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
            "type": "integer" if column.field == "Division" else TYPES[column.type_code],
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
            name: {"type": TYPES[type_code], "required": required}
            for name, (type_code, required) in feed.parameters.items()
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
