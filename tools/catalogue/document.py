"""Writes ``docs/entities.md`` and ``names.py`` from the shipped catalogue.

    python -m tools.catalogue.document

A test fails if the committed files differ from the output of this script.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from string import Template
from typing import Any

import pyarrow as pa
from dlt.common.destination import Destination
from dlt.destinations import bigquery, duckdb, postgres

from exact_source.catalogue.catalogue import Catalogue, Entity, Feed, read_catalogue
from exact_source.catalogue.feeds import (
    Plan,
    deletes_of,
    plan_feeds,
    start_date_of,
    starts_by_version,
)
from exact_source.catalogue.naming import snake
from exact_source.catalogue.parameters import (
    Source,
    all_sources,
    fixed_query,
    reason_not_read,
    sources_of,
)
from exact_source.catalogue.types import TYPES
from exact_source.loading.tables import column_hint
from exact_source.odata.columns import KEPT
from tools.catalogue.decisions import EVIDENCE

PAGE = Path(__file__).parents[2] / "docs" / "entities.md"
TEXT = Path(__file__).with_name("document.md")
NAMES = Path(__file__).parents[2] / "exact_source" / "catalogue" / "names.py"
HEAD = (
    "Endpoint", "Table", "Read by `auto`", "Rows a call", "Cursor", "Key", "Deletes",
    "Asked with", "Needs",
)  # fmt: skip

DESTINATIONS: tuple[Destination[Any, Any], ...] = (duckdb(), postgres(), bigquery())
# Exact's types in the order of the page. "Edm.Double" stands for two: amounts are decimals.
EDM = {
    **{edm: type_code for edm, type_code in TYPES.items() if type_code != "x"},
    "Edm.Double (amount)": "m",
    "Edm.Binary": "x",
}

DEFAULTS = {
    "years": "this year and the one before",
    "age_groups": "1, 2, 3, 4",
    "address_types": "1, 2, 3, 4",
    "after_entry": "both",
    "check_date": "today, by the Dutch calendar",
    "number_of_weeks": "4",
    "operations": "none: Exact documents no values; nothing is asked",
    "search_text": "empty",
    "use_full_text_search": "false",
}


def render(catalogue: Catalogue) -> str:
    """The whole page."""
    entities = catalogue.entities.values()
    combined = (
        f"| `{e.name}` | `{next(iter(e.feeds.values())).path}` | {e.grain} |"
        for e in entities
        if e.grain
    )
    read = [e for e in entities if reason_not_read(e) is None]
    unread = dict(sorted(_unread(catalogue)))
    text = Template(TEXT.read_text(encoding="utf-8")).substitute(
        endpoints=sum(len(e.feeds) for e in read),
        resources=len(read),
        unread=len(unread),
        combined="\n".join(combined),
        lacking="\n".join(_lacking(read)),
        **_by_start_date(read),
        versions=_by_version(read),
        settings="\n".join(_settings(catalogue)),
        evidence="\n".join(_evidence(catalogue)),
        sources="\n".join(f"- *{name}*: {text}." for name, text in EVIDENCE.items()),
        modules="\n".join(_modules(read)),
        types="\n".join(_types()),
    )
    reasons = ((f"`{path}`", reason) for path, reason in unread.items())
    return "\n".join(
        [text, *_services(read), _table("## Not read", ("Endpoint", "Reason"), reasons)]
    )


def _unread(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    yield from catalogue.unread.items()
    for entity in catalogue.entities.values():
        if reason := reason_not_read(entity):
            yield from ((feed.path, reason) for feed in entity.feeds.values())


def _lacking(entities: Iterable[Entity]) -> Iterator[str]:
    for entity in entities:
        if missing := entity.columns.keys() - set(plan_feeds(entity).fields):
            names = (entity.columns[f].name for f in entity.columns if f in missing)
            yield f"| `{entity.name}` | {', '.join(f'`{name}`' for name in names)} |"


def _by_start_date(entities: Iterable[Entity]) -> dict[str, str]:
    """How ``start_date`` limits an entity -> names of the entities, without functions."""
    names: dict[str, list[str]] = {}
    for entity in entities:
        if "function" not in entity.feeds:
            how = start_date_of(entity, plan_feeds(entity)).replace(" ", "_")
            names.setdefault(how, []).append(f"`{entity.name}`")
    return {how: ", ".join(found) for how, found in names.items() if how != "filter"}


def _by_version(entities: Iterable[Entity]) -> str:
    """Entities whose first read may begin at a row version, as ``auto`` reads them."""
    return ", ".join(f"`{e.name}`" for e in entities if starts_by_version(plan_feeds(e)))


def _settings(catalogue: Catalogue) -> Iterator[str]:
    names: dict[str, set[str]] = {}
    parents: dict[str, set[str]] = {}
    for entity in catalogue.entities.values():
        for feed in entity.feeds.values():
            for name, source in sources_of(entity, feed).items():
                names.setdefault(source.setting, set()).add(f"`{name}`")
                if source.parent is not None:
                    parents.setdefault(source.setting, set()).add(_asked(source))
    for setting in dict.fromkeys(source.setting for source in all_sources()):
        fed = DEFAULTS.get(setting) or f"every {' or '.join(sorted(parents[setting]))}"
        yield f"| `{setting}` | {', '.join(sorted(names[setting]))} | {fed} |"


def _evidence(catalogue: Catalogue) -> Iterator[str]:
    """A row for each function: its parameters, and where they are known from."""
    feeds = [f for e in catalogue.entities.values() for f in e.feeds.values()]
    for feed in sorted(feeds, key=lambda feed: feed.path):
        if feed.kind == "function":
            sent = [f"`{name}={value}`" for name, value in fixed_query(feed).items()]
            sent += [f"`{name}`" for name in feed.parameters]
            unknown = "not known" if feed.unknown_parameters else "none"
            yield f"| `{feed.path}` | {', '.join(sent) or unknown} | {', '.join(feed.evidence)} |"


def _modules(entities: Iterable[Entity]) -> Iterator[str]:
    """A row for each package or set of packages: the entities that need it."""
    names: dict[str, list[str]] = {}
    for entity in entities:
        if entity.module:
            names.setdefault(entity.module, []).append(f"`{entity.name}`")
    yield from (f"| {module} | {', '.join(found)} |" for module, found in sorted(names.items()))


def _types() -> Iterator[str]:
    """A row for each type of Exact: its Arrow type, and the type of a column in three databases."""
    for text, type_code in EDM.items():
        name, space, remark = text.partition(" ")
        types = [str(KEPT[type_code]), *(sql_type(d, KEPT[type_code]) for d in DESTINATIONS)]
        yield f"| `{name}`{space}{remark} | {' | '.join(f'`{one}`' for one in types)} |"


def sql_type(destination: Destination[Any, Any], kind: pa.DataType) -> str:
    """The type that a column of an Arrow type has in a destination of dlt."""
    mapper = destination.capabilities().get_type_mapper()
    return mapper.to_destination_type(column_hint(pa.field("column", kind)), {"name": "table"})


def _services(entities: Iterable[Entity]) -> Iterator[str]:
    services: dict[str, list[Entity]] = {}
    for entity in entities:
        services.setdefault(entity.service.lower(), []).append(entity)
    for service in sorted(services):
        rows = (row for entity in services[service] for row in _rows(entity))
        yield _table(f"## {service}", HEAD, rows)


def _rows(entity: Entity) -> Iterator[tuple[str, ...]]:
    plan = plan_feeds(entity)
    for feed in entity.feeds.values():
        yield (
            f"`{feed.path}`" + (" (beta)" if feed.beta else ""),
            f"`{entity.name}`",
            use_of(feed, plan),
            str(feed.page_size) if feed.kind != "function" else "all",
            f"`{feed.cursor}`" if feed.cursor else "",
            ", ".join(f"`{name}`" for name in _key(entity, feed)),
            _deletes(entity, plan),
            ", ".join(_asked(source) for source in sources_of(entity, feed).values()),
            needs_of(entity),
        )


def needs_of(entity: Entity) -> str:
    """The scope that the app needs, and the packages that have the entity, as far as they are known."""
    module = f"module: {entity.module}" if entity.module else ""
    return "; ".join(filter(None, (entity.scope, module)))


def use_of(feed: Feed, plan: Plan) -> str:
    """What ``auto`` does with a feed."""
    if feed is plan.full and feed is plan.increment:
        return "all rows"
    if feed is plan.full:
        return "first load" if plan.increment else "each time"
    return "changes" if feed is plan.increment else "route only"


def _deletes(entity: Entity, plan: Plan) -> str:
    how = deletes_of(entity, plan.column)
    return f"{how} ({entity.deleted_code})" if how == "tombstones" else how


def _key(entity: Entity, feed: Feed) -> list[str]:
    own = [entity.columns[f].name for f in entity.key if f != "Division"]
    named = dict.fromkeys([*(snake(name) for name in feed.parameters), *own])
    return list(named) + ([] if own or entity.key else ["_row"])


def _asked(source: Source) -> str:
    if source.parent is None:
        return f"`{source.setting}`"
    return f"`{source.parent}.{source.column}`"


def _table(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [title, "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def render_names(catalogue: Catalogue) -> str:
    """The module of names."""
    names = [n for n, e in catalogue.entities.items() if reason_not_read(e) is None]
    listed = "".join(f'    "{name}",\n' for name in names)
    return (
        '"""Names of all resources, for type checkers and editors; made by tools/catalogue."""\n\n'
        "from __future__ import annotations\n\n"
        "from typing import Literal\n\n"
        f"EntityName = Literal[\n{listed}]\n"
    )


def main() -> None:
    """Write both files."""
    catalogue = read_catalogue()
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(render(catalogue), encoding="utf-8")
    NAMES.write_text(render_names(catalogue), encoding="utf-8")


if __name__ == "__main__":
    main()
