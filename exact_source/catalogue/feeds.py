"""The choice of feeds for an entity: the cheapest feed with the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import ConfigurationError
from . import Entity, Feed

ROUTES = ("auto", "sync", "bulk", "regular")
Route = str | Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """How an entity is read.

    Attributes:
        full: Feed that reads all rows.
        increment: Feed that reads changes; ``None`` if all rows are read each time.
        column: Cursor field; ``None`` without ``increment``.
        fields: Selected fields, the same for both feeds, so that no row changes shape.
    """

    full: Feed
    increment: Feed | None
    column: str | None
    fields: tuple[str, ...]

    @property
    def label(self) -> str:
        """The feeds in words: ``sync``, ``bulk + regular``."""
        if self.increment is None:
            return f"{self.full.kind}, in full"
        if self.increment.kind == self.full.kind:
            return self.full.kind
        return f"{self.full.kind} + {self.increment.kind}"

    @property
    def withdrawn(self) -> tuple[str, ...]:
        """Fields that Exact has withdrawn from its feeds, according to an overlay."""
        increment = self.increment.withdrawn if self.increment else ()
        return tuple(dict.fromkeys([*self.full.withdrawn, *increment]))


def check_route(route: Route, known: Sequence[str]) -> None:
    """Refuse an unknown route.

    Raises:
        ConfigurationError: If a route is unknown, or an entity name in it.
    """
    routes = {"": route} if isinstance(route, str) else dict(route)
    for name, one in routes.items():
        if name and name not in known:
            raise ConfigurationError(
                f"route names {name!r}, which is not an entity; see `exact-source entities`"
            )
        if one not in ROUTES:
            raise ConfigurationError(f"route {one!r} is unknown; use one of {' '.join(ROUTES)}")


def plan_feeds(entity: Entity, route: Route = "auto") -> Plan:
    """The feeds by which an entity is read.

    A route for the whole source is a preference: entities without that feed use ``auto``. A route for one
    entity is binding.

    Raises:
        ConfigurationError: If the entity does not have the feed of its route.
    """
    wanted = route if isinstance(route, str) else route.get(entity.name, "auto")
    if wanted in entity.feeds:
        return _single(entity.feeds[wanted])  # type: ignore[index]
    if wanted != "auto" and not isinstance(route, str):
        kinds = " ".join(entity.feeds)
        raise ConfigurationError(f"{entity.name} has no {wanted} feed; it has: {kinds}")
    return _cheapest(entity)


def plan_window(entity: Entity, route: Route = "auto") -> Plan:
    """The feeds by which rows changed between two dates are read.

    A feed that filters by ``Modified`` is used if it has all fields of the usual feed except the row version,
    so that no stored row loses a column. Otherwise all rows are read, and rows outside it are dropped.

    Raises:
        ConfigurationError: Like ``plan_feeds``.
    """
    usual = plan_feeds(entity, route)
    wanted = set(usual.fields) - {"Timestamp"}
    for kind in ("bulk", "regular"):
        feed = entity.feeds.get(kind)
        if feed is not None and feed.cursor == "Modified" and wanted <= set(feed.columns):
            fields = tuple(name for name in usual.fields if name in feed.columns)
            return Plan(full=feed, increment=feed, column=feed.cursor, fields=fields)
    return usual


def _cheapest(entity: Entity) -> Plan:
    feeds = entity.feeds
    sync, bulk, regular = feeds.get("sync"), feeds.get("bulk"), feeds.get("regular")
    if sync is not None:
        return _single(sync)
    if bulk is None or bulk.cursor:
        return _single(bulk or regular or feeds["function"])
    if regular is not None and regular.cursor:
        # This bulk feed cannot filter by Modified (API 3.6), so it serves full reads, and the regular feed
        # serves changes. Only fields of both feeds are read, because a changed row must not lose a column.
        fields = tuple(name for name in _fields(bulk) if name in regular.columns)
        return Plan(full=bulk, increment=regular, column=regular.cursor, fields=fields)
    return _single(bulk)


def _single(feed: Feed) -> Plan:
    return Plan(
        full=feed,
        increment=feed if feed.cursor else None,
        column=feed.cursor,
        fields=_fields(feed),
    )


def _fields(feed: Feed) -> tuple[str, ...]:
    return tuple(feed.columns)


def deletes_of(entity: Entity, cursor: str | None) -> str:
    """How deleted rows are found: ``tombstones``, ``full pass``, ``keys`` or ``never``.

    Args:
        entity: Entity of the rows.
        cursor: Field that changes are filtered by; ``None`` if all rows are read each time.
    """
    if entity.name == "deleted":
        return "never"
    if entity.division_from or cursor is None:
        return "full pass"
    return "keys" if entity.deleted_code is None else "tombstones"


def start_date_of(entity: Entity, plan: Plan) -> str:
    """How ``start_date`` limits the rows of an entity.

    Only rows that have not changed since the date may be left out, and only ``Modified`` shows that. A row
    that was created or booked years ago (``Created``, ``EntryDate``) may have changed yesterday, and would
    then be missing. Without ``Modified``, all rows are therefore loaded.

    Returns:
        ``filter``: only rows since the date are requested. ``dropped``: all rows are read once, because
        the order of row versions is not that of ``Modified`` (API 4.3), and older ones are not loaded.
        ``none``: all rows are read and loaded.
    """
    if entity.division_from or entity.name == "deleted":
        return "none"  # short lists, read in full once a run
    if plan.full.cursor == "Modified":
        return "filter"
    return "dropped" if "Modified" in plan.fields else "none"


def starts_by_version(plan: Plan) -> bool:
    """Whether a first read with a ``start_date`` may begin at a row version (API 4.3).

    Older rows that follow must be recognizable by their ``Modified``.
    """
    return plan.full.start_date and "Modified" in plan.fields


_NO_GUID = "guid'00000000-0000-0000-0000-000000000000'"
# Filters that every row passes, the most certain first. Keys come before numbers, which may be null.
_TRUE_FOR_ALL = {
    "Modified": "Modified ge datetime'1900-01-01T00:00:00'",
    "Created": "Created ge datetime'1900-01-01T00:00:00'",
    "ID": f"ID ne {_NO_GUID}",
    "EntryID": f"EntryID ne {_NO_GUID}",
    "QuotationID": f"QuotationID ne {_NO_GUID}",
    "StockTransactionId": f"StockTransactionId ne {_NO_GUID}",
    "LineNumber": "LineNumber ge 0",
}
# Endpoints that also have a sync feed and therefore need a filter (API 2.5), but have no Modified and no list
# of filterable fields.
_BY_KEY = frozenset(
    {
        "crm/QuotationLines",
        "documents/DocumentAttachments",
        "manufacturing/BillOfMaterialMaterials",
        "manufacturing/MaterialIssues",
    }
)


def harmless_filter(feed: Feed, *, by_key: bool = True) -> str | None:
    """A ``$filter`` that every row passes; ``None`` if no filter is needed or none is certain to work.

    Exact requires a filter on more endpoints than it lists, but not from every app (API 2.5, 12.2). An
    unnecessary filter does no harm, but without a required one the stream is refused. Without ``by_key``, no
    filter compares a key with the all-zero guid, because the site refuses that.
    """
    if feed.kind not in {"regular", "bulk"}:
        return None
    allowed = feed.mandatory_filter or feed.filterable
    if allowed is None:
        allowed = feed.columns if feed.path in _BY_KEY else (feed.cursor or "",)
    fitting = (text for field, text in _TRUE_FOR_ALL.items() if field in allowed)
    return next((text for text in fitting if by_key or _NO_GUID not in text), None)
