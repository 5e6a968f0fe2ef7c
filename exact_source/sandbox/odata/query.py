"""The query options of a request, read and refused as Exact does (API 3.3, 2.4, 2.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from ..data.catalogue import Endpoint, Row
from ..http.errors import (
    MANDATORY_FILTER,
    NO_SUCH_FILTER,
    SELECT_MISSING,
    RefusedError,
    bad_request,
)
from .filters import Filter, parse_filter
from .literals import parse_literal
from .navigation import collection_of

SYSTEM_OPTIONS = {
    "$select", "$filter", "$orderby", "$top", "$skip", "$skiptoken", "$inlinecount", "$format", "$expand",
}  # fmt: skip
FORGOTTEN_DOLLAR = {"select", "filter", "top", "orderby"}


@dataclass(frozen=True)
class Query:
    """What a request asks of an endpoint.

    Attributes:
        select: The columns to serve; ``None`` for all of them.
        orderby: Columns, each with whether it runs downward.
        parameters: The values given to a function, by parameter name.
    """

    select: tuple[str, ...] | None = None
    filter: Filter | None = None
    orderby: tuple[tuple[str, bool], ...] = ()
    top: int | None = None
    skip: int = 0
    skiptoken: str | None = None
    inlinecount: bool = False
    expand: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


def parse_options(query_string: str) -> dict[str, str]:
    """The decoded options of a URL.

    Raises:
        RefusedError: 400, for a system option that does not exist or is given twice.
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
    *,
    lenient: bool,
    strict: bool = False,
) -> Query:
    """Read the options of a call to a collection.

    Args:
        endpoint: Which collection.
        options: Decoded options of the URL.
        defaults: Values that rows leave out.
        lenient: Ask for no ``$select`` and no ``$filter``.
        strict: Ask for a ``$filter`` wherever there is a sync sibling.
    """
    if endpoint.kind == "function" and FORGOTTEN_DOLLAR & options.keys():
        raise RefusedError(503)  # API 8.2: a missing `$` ends in an empty 503 there
    if not lenient:
        _check_select_present(endpoint, options)
    found = parse_where(endpoint, options, defaults, lenient=lenient, strict=strict)
    if "$skip" in options and endpoint.kind in {"bulk", "sync"}:
        raise bad_request("The query option $skip is not supported for this resource.")
    return Query(
        select=_select(endpoint, options),
        filter=found,
        orderby=_orderby(endpoint, options),
        top=None if endpoint.kind == "sync" else _count(options, "$top"),  # API 3.2: no limit there
        skip=_count(options, "$skip") or 0,
        skiptoken=options.get("$skiptoken"),
        inlinecount=_inlinecount(options),
        expand=_expand(endpoint, options),
        parameters=_parameters(endpoint, options),
    )


def parse_where(
    endpoint: Endpoint,
    options: Mapping[str, str],
    defaults: Mapping[str, Any],
    *,
    lenient: bool,
    strict: bool = False,
) -> Filter | None:
    """The ``$filter`` of a call, which some endpoints demand and others allow on few columns only."""
    found = None
    if "$filter" in options:
        found = parse_filter(options["$filter"], endpoint.columns, defaults)
        if endpoint.filterable is not None and not found.fields <= endpoint.filterable:
            fields = ", ".join(sorted(found.fields - endpoint.filterable))
            raise bad_request(f"{NO_SUCH_FILTER}: {fields}")
        if endpoint.parameters:  # API 8.2: parameters are not `$filter`
            raise bad_request("This $filter parameter is not supported for this resource")
    if not lenient:
        _check_filter_present(endpoint, found, strict=strict)
    return found


def _check_filter_present(endpoint: Endpoint, found: Filter | None, *, strict: bool) -> None:
    """API 2.5; of most endpoints nobody knows the fields that will do, so any does."""
    demanded = set(endpoint.mandatory_filter)
    if not demanded and strict and endpoint.has_sync_sibling:
        demanded = set(endpoint.filterable or endpoint.columns)
    if demanded and not (demanded & (found.fields if found else set())):
        fields = ", ".join(endpoint.mandatory_filter or sorted(endpoint.filterable or endpoint.key))
        raise bad_request(
            f"{MANDATORY_FILTER} A GET request for this endpoint must have"
            f" a $filter parameter with one of the following fields in the url: {fields}"
        )


def project(row: Row, columns: Mapping[str, str], defaults: Mapping[str, Any]) -> Row:
    """A row with all of ``columns``, null where it has none."""
    return {column: row.get(column, defaults.get(column)) for column in columns}


def _check_select_present(endpoint: Endpoint, options: Mapping[str, str]) -> None:
    needs_one = endpoint.kind in {"regular", "bulk"} and not endpoint.no_division
    one_row_will_do = endpoint.kind == "regular" and options.get("$top") == "1"  # not bulk: API 3.3
    if needs_one and "$select" not in options and not one_row_will_do:
        raise bad_request(SELECT_MISSING)


def _expand(endpoint: Endpoint, options: Mapping[str, str]) -> tuple[str, ...]:
    """The collections that are to come along with each row."""
    names = [name.strip() for name in options.get("$expand", "").split(",") if name.strip()]
    if not all(collection_of(endpoint, name) for name in names):
        raise bad_request()
    return tuple(names)


def _select(endpoint: Endpoint, options: Mapping[str, str]) -> tuple[str, ...] | None:
    """The selected columns; of a collection (``Lines/Field``) all columns come."""
    if "$select" not in options:
        return None
    names = [name.strip() for name in options["$select"].split(",")]
    if "*" in names:
        if endpoint.no_star:
            raise bad_request("Bad Request - $select=* is not supported for this resource.")
        return None
    columns = {name for name in names if not collection_of(endpoint, name.split("/")[0])}
    if not columns <= endpoint.columns.keys():
        raise bad_request()
    return tuple(column for column in endpoint.columns if column in columns)


def _orderby(endpoint: Endpoint, options: Mapping[str, str]) -> tuple[tuple[str, bool], ...]:
    found = []
    for part in filter(None, options.get("$orderby", "").split(",")):
        name, *direction = part.split()
        if name not in endpoint.columns or direction not in ([], ["asc"], ["desc"]):
            raise bad_request()
        found.append((name, direction == ["desc"]))
    # API 3.3: `$orderby` may be dropped; bulk and sync feeds drop it here.
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
    for name, (letter, required) in endpoint.parameters.items():
        if name in options:
            values[name] = parse_literal(options[name], letter)
        elif required:
            raise bad_request(f"Bad Request - The parameter {name} is missing.")
    return values
