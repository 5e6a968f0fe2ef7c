"""The query options of a request, parsed and refused as Exact does (API 3.3, 2.4, 2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from ..data.catalogue import Endpoint, Row
from ..http.errors import (
    ITEM_OR_MODIFIED,
    MANDATORY_FILTER,
    NO_SUCH_FILTER,
    NO_SUCH_PROPERTY,
    NO_SUCH_SELECTION,
    SELECT_MISSING,
    RefusedError,
    bad_request,
)
from ..rules.demands import Demand, demanded_filter, demands_select
from .filters import Filter, parse_filter
from .literals import parse_literal
from .navigation import collection_of

SYSTEM_OPTIONS = {
    "$select", "$filter", "$orderby", "$top", "$skip", "$skiptoken", "$inlinecount", "$format", "$expand",
}  # fmt: skip
FORGOTTEN_DOLLAR = {"select", "filter", "top", "orderby"}
ITEM_EXTRA_FIELD = "item_extra_field"  # accepts an item, a date or both (API 12.10)


@dataclass(frozen=True)
class Demands:
    """Which calls must have ``$select`` and ``$filter``."""

    select: Demand = "never"
    filter: Demand = "never"


NOTHING_DEMANDED = Demands()


@dataclass(frozen=True)
class Query:
    """The parsed query of a request.

    Attributes:
        select: Columns to serve; ``None`` for all.
        orderby: Columns, each with whether it is sorted in descending order.
        expand: Collections to serve with each row.
        deferred: Collections to which each row has a link; ``None`` for all others.
        nested: Columns to serve of each expanded collection, if not all.
        parameters: Values of the function's parameters, by name.
    """

    select: tuple[str, ...] | None = None
    filter: Filter | None = None
    orderby: tuple[tuple[str, bool], ...] = ()
    top: int | None = None
    skip: int = 0
    skiptoken: str | None = None
    inlinecount: bool = False
    expand: tuple[str, ...] = ()
    deferred: tuple[str, ...] | None = None
    nested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Selection:
    """A parsed ``$select``: columns, collections by name, and columns of collections."""

    columns: tuple[str, ...] | None = None
    collections: tuple[str, ...] | None = None
    nested: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def parse_options(query_string: str) -> dict[str, str]:
    """Decode the options of a URL.

    Raises:
        RefusedError: 400, if a system option does not exist or is given twice.
    """
    options: dict[str, str] = {}
    for part in filter(None, query_string.split("&")):
        name, _, value = part.partition("=")
        name = unquote_plus(name)
        if name.startswith("$") and (name in options or name not in SYSTEM_OPTIONS):
            raise bad_request()
        options[name] = unquote_plus(value)
    return options


def parse_query(
    endpoint: Endpoint,
    options: Mapping[str, str],
    defaults: Mapping[str, Any],
    demands: Demands = NOTHING_DEMANDED,
) -> Query:
    """Parse the options of a call to a collection.

    Args:
        endpoint: The collection.
        options: Decoded options of the URL.
        defaults: Values that rows omit.
        demands: Whether ``$select`` and ``$filter`` are required.

    Raises:
        RefusedError: 400, for anything that Exact refuses.
    """
    if endpoint.kind == "function" and FORGOTTEN_DOLLAR & options.keys():
        raise RefusedError(503)  # API 8.2: a missing `$` ends in an empty 503 there
    _check_select_present(endpoint, options, demands.select)
    found = parse_where(endpoint, options, defaults, demands)
    if "$skip" in options and endpoint.kind in {"bulk", "sync"}:
        raise bad_request("The query option $skip is not supported for this resource.")
    selection = _select(endpoint, options)
    expand = _expand(endpoint, options)
    if selection.nested.keys() - set(expand):  # WCF: a projection without the matching $expand
        raise bad_request()
    chosen = selection.collections
    return Query(
        select=selection.columns,
        filter=found,
        orderby=_orderby(endpoint, options),
        top=_count(options, "$top"),
        skip=_count(options, "$skip") or 0,
        skiptoken=options.get("$skiptoken") or None,  # WCF ignores an empty one
        inlinecount=_inlinecount(options),
        # WCF serves an expanded collection only if $select contains it, or is absent.
        expand=tuple(name for name in expand if chosen is None or name in chosen),
        deferred=None if chosen is None else tuple(n for n in chosen if n not in expand),
        nested=selection.nested,
        parameters=_parameters(endpoint, options),
    )


def parse_where(
    endpoint: Endpoint,
    options: Mapping[str, str],
    defaults: Mapping[str, Any],
    demands: Demands = NOTHING_DEMANDED,
) -> Filter | None:
    """Parse the ``$filter`` of a call; some endpoints require it, others allow it on few columns only."""
    found = None
    if "$filter" in options:
        found = parse_filter(options["$filter"], endpoint.columns, defaults, endpoint.model)
        if endpoint.filterable is not None and not found.fields <= endpoint.filterable:
            fields = ", ".join(sorted(found.fields - endpoint.filterable))
            raise bad_request(f"{NO_SUCH_FILTER}: {fields}")
        if endpoint.parameters:  # API 8.2: parameters are not `$filter`
            raise bad_request("This $filter parameter is not supported for this resource")
    _check_filter_present(endpoint, found, demands.filter)
    return found


def _check_filter_present(endpoint: Endpoint, found: Filter | None, demand: Demand) -> None:
    wanted = demanded_filter(endpoint, demand)
    if wanted and not (wanted & (found.fields if found else frozenset())):
        fields = endpoint.mandatory_filter or sorted(endpoint.filterable or endpoint.key)
        raise bad_request(  # no blank after the colon, as recorded (picqer#591)
            f"{MANDATORY_FILTER} A GET request for this endpoint must have"
            f" a $filter parameter with one of the following fields in the url:{','.join(fields)}."
        )


def project(row: Row, columns: Mapping[str, str], defaults: Mapping[str, Any]) -> Row:
    """A row with all of ``columns``; missing values are null."""
    return {column: row.get(column, defaults.get(column)) for column in columns}


def _check_select_present(endpoint: Endpoint, options: Mapping[str, str], demand: Demand) -> None:
    one_row_will_do = endpoint.kind == "regular" and options.get("$top") == "1"  # not bulk: API 3.3
    if "$select" not in options and not one_row_will_do and demands_select(endpoint, demand):
        raise bad_request(SELECT_MISSING)


def _expand(endpoint: Endpoint, options: Mapping[str, str]) -> tuple[str, ...]:
    """The collections of ``$expand``."""
    names = _names(options.get("$expand", ""))
    if not all(collection_of(endpoint, name) for name in names):
        raise bad_request()
    return names


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _select(endpoint: Endpoint, options: Mapping[str, str]) -> Selection:
    """Parse ``$select``: columns, ``*``, collections, and columns of collections (``Lines/Field``)."""
    if "$select" not in options:
        return Selection()
    columns: set[str] = set()
    nested: dict[str, list[str]] = {}
    for name in _names(options["$select"]) or ("",):
        head, _, field_name = name.partition("/")
        if collection_of(endpoint, head):
            nested.setdefault(head, []).extend([field_name] if field_name else ["*"])
        elif name == "*":
            columns |= endpoint.columns.keys()
        elif name in endpoint.columns:
            columns.add(name)
        else:
            raise bad_request(NO_SUCH_SELECTION.format(endpoint.model, name))
    has_star = "*" in _names(options["$select"])
    if has_star and endpoint.no_star:
        raise bad_request("Bad Request - $select=* is not supported for this resource.")
    return Selection(
        columns=None if has_star else tuple(c for c in endpoint.columns if c in columns),
        collections=None if has_star else tuple(nested),
        nested={head: tuple(names) for head, names in nested.items() if "*" not in names},
    )


def _orderby(endpoint: Endpoint, options: Mapping[str, str]) -> tuple[tuple[str, bool], ...]:
    text = options.get("$orderby", "")
    found = []
    for part in filter(None, text.split(",")):
        name, *direction = part.split() or [""]
        if name not in endpoint.columns:
            at = text.index(name)
            raise bad_request(NO_SUCH_PROPERTY.format(name, endpoint.model, at))
        if direction not in ([], ["asc"], ["desc"]):
            raise bad_request()
        found.append((name, direction == ["desc"]))
    # API 3.3: `$orderby` may be dropped. It works on regular endpoints (API 12.5); bulk and sync drop it.
    return tuple(found) if endpoint.kind in {"regular", "function"} else ()


def _count(options: Mapping[str, str], name: str) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not text.strip().isdecimal():
        raise bad_request()
    return int(text)


def _inlinecount(options: Mapping[str, str]) -> bool:
    value = options.get("$inlinecount", "none")
    if value not in {"none", "allpages"}:
        raise bad_request()
    return value == "allpages"


def _parameters(endpoint: Endpoint, options: Mapping[str, str]) -> dict[str, Any]:
    values = {}
    for name, (type_code, required) in endpoint.parameters.items():
        if name in options:
            values[name] = parse_literal(options[name], type_code)
        elif required and endpoint.entity != ITEM_EXTRA_FIELD:
            raise bad_request(f"Bad Request - The parameter {name} is missing.")
    if endpoint.entity == ITEM_EXTRA_FIELD and not values:
        raise bad_request(ITEM_OR_MODIFIED)
    return values
