"""Values for the parameters of function endpoints (API 8.2): data and lookups, no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from http import HTTPStatus
from itertools import product
from typing import Any
from urllib.parse import quote

from ..errors import ConfigurationError
from ..odata.query import SAFE, format_literal
from .catalogue import Entity, Feed

SECTION = "parameters"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Most characters of an encoded text; a URL has 6,000 for it and the selected columns (API 2.4).
TEXT_MAX = 1000
_TRUTH = {"true": True, "false": False, "1": True, "0": False}

Values = tuple[Any, ...]
RowsOf = Callable[[str, list[str]], Iterable[Values]]


@dataclass(frozen=True, slots=True)
class Source:
    """Source of the values of one parameter.

    Attributes:
        setting: Name of the setting that overrides the other sources.
        type_code: Type, as in the catalogue.
        parent: Entity whose rows give the values; ``None`` if no entity does.
        column: Column of the parent's table.
        default: Returns the values for a day, if there is neither a setting nor a parent.
    """

    setting: str
    type_code: str
    parent: str | None = None
    column: str = "id"
    default: Callable[[date], Values] = lambda _day: ()


def _years(day: date) -> Values:
    return day.year - 1, day.year


SOURCES: Mapping[str, Source] = {
    "accountId": Source("account_ids", "g", "accounts"),
    "itemId": Source("item_ids", "g", "items"),
    "projectId": Source("project_ids", "g", "projects"),
    "opportunityId": Source("opportunity_ids", "g", "opportunities"),
    "glScheme": Source("gl_scheme_ids", "g", "gl_schemes"),
    "year": Source("years", "i", default=_years),
    "reportingYear": Source("years", "i", default=_years),
    "ageGroup": Source("age_groups", "i", default=lambda _: (1, 2, 3, 4)),
    # Visit, postal, invoice and delivery address.
    "addressType": Source("address_types", "i", default=lambda _: (1, 2, 3, 4)),
    "afterEntry": Source("after_entry", "b", default=lambda _: (False, True)),
    "checkDate": Source(
        "check_date",
        "t",
        default=lambda day: (datetime(day.year, day.month, day.day),),  # noqa: DTZ001
    ),
    "numberOfWeeks": Source("number_of_weeks", "i", default=lambda _: (4,)),
    # Exact documents no value, so there is no default.
    "operation": Source("operations", "i"),
    "searchText": Source("search_text", "s", default=lambda _: ("",)),
    "useFullTextSearch": Source("use_full_text_search", "b", default=lambda _: (False,)),
}
# Entity -> parameter -> its source, where that differs from ``SOURCES``.
EXCEPTIONS: Mapping[str, Mapping[str, Source]] = {
    "costs_by_id": {"entryId": Source("entry_ids", "g", "recent_costs", "entry_id")},
    "hours_by_id": {"entryId": Source("entry_ids", "g", "recent_hours", "entry_id")},
    "project_wbs_by_project_and_wbs": {
        "projectId": Source("project_ids", "g", "project_wbs", "project"),
        "projectWBSId": Source("project_wbs_ids", "g", "project_wbs", "id"),
        "wbsType": Source("wbs_types", "h", "project_wbs", "type"),
    },
}
# Endpoints without rows to load.
OWN_USE = {
    "user_has_rights": "the source itself asks it whether the user may read an endpoint",
    "sync_timestamp": "gives the row version of a date, not rows; start_by=timestamp uses it",
}
UNKNOWN = "takes parameters that no source documents"


def reason_not_read(entity: Entity) -> str | None:
    """Why an entity of the catalogue is not a resource; ``None`` if it is one."""
    if entity.name in OWN_USE:
        return OWN_USE[entity.name]
    for feed in entity.feeds.values():
        without_source = [name for name in feed.parameters if source_of(entity.name, name) is None]
        if feed.unknown_parameters or without_source:
            return UNKNOWN
    return None


def source_of(entity: str, parameter: str) -> Source | None:
    """Source of a parameter's values; ``None`` if it is not known."""
    return EXCEPTIONS.get(entity, {}).get(parameter) or SOURCES.get(parameter)


def sources_of(entity: Entity, feed: Feed) -> dict[str, Source]:
    """Parameter -> source of its values, for a function that is read."""
    found = {name: source_of(entity.name, name) for name in feed.parameters}
    return {name: source for name, source in found.items() if source is not None}


def sends_parameters(feed: Feed) -> bool:
    """Whether the URL of a feed has parameters in addition to the OData options."""
    return bool(feed.parameters or feed.fixed)


def fixed_query(feed: Feed) -> dict[str, str]:
    """Parameter -> OData literal, for the parameters that are always sent with the same value.

    ``read/logistics/ItemExtraField`` lists all items if ``modified`` is early enough (API 12.10).
    """
    return {
        name: format_literal(type_code, value) for name, (type_code, value) in feed.fixed.items()
    }


def means_empty(feed: Feed, status: int, words: str) -> bool:
    """Whether a refusal means that the list has no rows (API 12.10).

    Args:
        feed: Refused endpoint.
        status: HTTP status.
        words: Exact's message.
    """
    return status == HTTPStatus.BAD_REQUEST and words == feed.empty_refusal != ""


def parents_of(sources: Mapping[str, Source], given: Mapping[str, Values]) -> list[str]:
    """Entities whose rows must be loaded before the function can be called."""
    wanted = (g for g in _groups(sources) if g[0] is not None and not _is_given(g[1], given))
    return [str(parent) for parent, _ in wanted]


def combinations(
    sources: Mapping[str, Source], given: Mapping[str, Values], rows_of: RowsOf, day: date
) -> list[Values]:
    """The values for each call of a function, in the order of ``sources``; the calls are not ordered.

    Args:
        sources: Parameter -> source of its values.
        given: Setting -> values, as ``check_parameters`` returns them.
        rows_of: Returns the distinct values of some columns of a parent.
        day: Today.
    """
    names: list[str] = []
    parts: list[list[Values]] = []
    for parent, mine in _groups(sources):
        names += mine
        parts.append(_values_of(parent, mine, given, rows_of, day))
    places = [names.index(name) for name in sources]
    rows = (sum(combination, ()) for combination in product(*parts))
    return [tuple(row[place] for place in places) for row in rows]


def count_combinations(
    sources: Mapping[str, Source],
    given: Mapping[str, Values],
    rows_in: Callable[[str], int | None],
    day: date,
) -> int | None:
    """The minimum number of calls of a function; ``None`` if the number of rows of a parent is unknown."""
    total = 1
    for parent, mine in _groups(sources):
        if parent is None or _is_given(mine, given):
            total *= len(_values_of(parent, mine, given, lambda _parent, _columns: (), day))
            continue
        rows = rows_in(parent)
        if rows is None:
            return None
        total *= rows
    return total


def _groups(sources: Mapping[str, Source]) -> list[tuple[str | None, dict[str, Source]]]:
    """Groups of parameters whose values come from one row; a parameter without a parent is its own group."""
    groups: dict[object, tuple[str | None, dict[str, Source]]] = {}
    for name, source in sources.items():
        group = groups.setdefault(source.parent or (name,), (source.parent, {}))
        group[1][name] = source
    return list(groups.values())


def _is_given(mine: Mapping[str, Source], given: Mapping[str, Values]) -> bool:
    return all(source.setting in given for source in mine.values())


def _values_of(
    parent: str | None,
    mine: Mapping[str, Source],
    given: Mapping[str, Values],
    rows_of: RowsOf,
    day: date,
) -> list[Values]:
    if _is_given(mine, given):
        return list(product(*(given[source.setting] for source in mine.values())))
    if parent is None:
        return [(value,) for source in mine.values() for value in source.default(day)]
    type_codes = [source.type_code for source in mine.values()]
    allowed = [given.get(source.setting) for source in mine.values()]
    rows = rows_of(parent, [source.column for source in mine.values()])
    found = {
        tuple(
            plain_value(type_code, value) for type_code, value in zip(type_codes, row, strict=True)
        )
        for row in rows
        if None not in row
    }
    return [
        row
        for row in found
        if all(few is None or value in few for value, few in zip(row, allowed, strict=True))
    ]


def check_parameters(parameters: Mapping[str, Any] | None) -> dict[str, Values]:
    """The settings as plain values; a single value need not be in a list.

    Raises:
        ConfigurationError: If a setting is unknown or has the wrong type; the message names it.
    """
    type_codes = {s.setting: s.type_code for s in all_sources()}
    found = {}
    for name, values in (parameters or {}).items():
        if name not in type_codes:
            raise ConfigurationError(
                f"{SECTION}: {name!r} is unknown; there are {', '.join(sorted(type_codes))}"
            )
        try:
            texts = _listed(values, type_codes[name])
            found[name] = tuple(dict.fromkeys(_given_value(type_codes[name], t) for t in texts))
        except ValueError:
            raise ConfigurationError(
                f"{SECTION}.{name} must be {_WANTED[type_codes[name]]}"
            ) from None
    return found


def all_sources() -> list[Source]:
    """All sources of parameter values."""
    return [*SOURCES.values(), *(s for found in EXCEPTIONS.values() for s in found.values())]


def _listed(values: Any, type_code: str) -> Iterable[Any]:
    if isinstance(values, str) and type_code != "s":
        return [part.strip() for part in values.split(",") if part.strip()]
    return values if isinstance(values, (list, tuple, set, frozenset, range)) else [values]


_WANTED = {
    "g": "guids",
    "i": "whole numbers",
    "h": "whole numbers",
    "b": "true or false",
    "t": "dates such as 2024-01-31",
    "s": f"texts of no more than {TEXT_MAX:,} characters in a URL",
}


def _given_value(type_code: str, value: Any) -> Any:
    found = plain_value(type_code, value)
    if type_code == "s" and len(quote(found, safe=SAFE)) > TEXT_MAX:
        raise ValueError("too long")
    return found


def plain_value(type_code: str, value: Any) -> Any:
    """A parameter value as a Python value: guids in lower case, dates without a zone.

    Raises:
        ValueError: If the value has another type.
    """
    text = value.isoformat() if isinstance(value, date) else str(value)
    if type_code == "g":
        if not _GUID.fullmatch(text.lower()):
            raise ValueError(text)
        return text.lower()
    if type_code == "b":
        if text.lower() not in _TRUTH:
            raise ValueError(text)
        return _TRUTH[text.lower()]
    if type_code == "t":
        return datetime.fromisoformat(text).replace(tzinfo=None)
    return text if type_code == "s" else int(text)
