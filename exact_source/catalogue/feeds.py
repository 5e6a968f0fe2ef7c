"""Which feed reads an entity: the cheapest whose rows are the same rows."""

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
        increment: Feed that reads what changed; ``None``: all rows are read each time.
        column: Field that carries the cursor; ``None`` without ``increment``.
        fields: Fields to select, the same for both feeds, so that no row changes shape.
    """

    full: Feed
    increment: Feed | None
    column: str | None
    fields: tuple[str, ...]

    @property
    def label(self) -> str:
        """For people: ``sync``, ``bulk + regular``."""
        if self.increment is None:
            return f"{self.full.kind}, in full"
        if self.increment.kind == self.full.kind:
            return self.full.kind
        return f"{self.full.kind} + {self.increment.kind}"

    @property
    def withdrawn(self) -> tuple[str, ...]:
        """Fields that its feeds served once, as an overlay says."""
        increment = self.increment.withdrawn if self.increment else ()
        return tuple(dict.fromkeys([*self.full.withdrawn, *increment]))


def check_route(route: Route, known: Sequence[str]) -> None:
    """Refuse what is no route.

    Raises:
        ConfigurationError: If a route or an entity's name in it is unknown.
    """
    routes = {"": route} if isinstance(route, str) else dict(route)
    for name, one in routes.items():
        if name and name not in known:
            raise ConfigurationError(
                f"route names {name!r}, which is no entity; see `exact-source entities`"
            )
        if one not in ROUTES:
            raise ConfigurationError(f"route {one!r} is unknown; use one of {' '.join(ROUTES)}")


def plan_feeds(entity: Entity, route: Route = "auto") -> Plan:
    """The feeds of one entity.

    A route for the whole source is a preference: entities without that feed go by ``auto``. A route
    for one entity is an order.

    Raises:
        ConfigurationError: If the entity has no such feed.
    """
    wanted = route if isinstance(route, str) else route.get(entity.name, "auto")
    if wanted in entity.feeds:
        return _single(entity.feeds[wanted])  # type: ignore[index]
    if wanted != "auto" and not isinstance(route, str):
        kinds = " ".join(entity.feeds)
        raise ConfigurationError(f"{entity.name} has no {wanted} feed; it has: {kinds}")
    return _cheapest(entity)


def _cheapest(entity: Entity) -> Plan:
    feeds = entity.feeds
    sync, bulk, regular = feeds.get("sync"), feeds.get("bulk"), feeds.get("regular")
    if sync is not None:
        return _single(sync)
    if bulk is None or bulk.cursor:
        return _single(bulk or regular or feeds["function"])
    if regular is not None and regular.cursor:
        # Modified cannot be filtered on this bulk feed (API 3.6): all rows by bulk, changes by 60.
        # Only in what both have: a row must not lose a column with the change that it came by.
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
    """How it becomes known that rows are gone: ``tombstones``, ``full pass``, ``keys`` or ``never``.

    Args:
        entity: Whose rows.
        cursor: Field by which changes are asked for; ``None`` if all rows are read each time.
    """
    if entity.name == "deleted":
        return "never"
    if entity.division_from or cursor is None:
        return "full pass"
    return "keys" if entity.deleted_code is None else "tombstones"


def start_date_of(entity: Entity, plan: Plan) -> str:
    """How ``start_date`` limits the rows of an entity.

    Only what changed before it may be left out. Other dates than ``Modified`` do not tell that: a
    row that was made or booked years ago (``Created``, ``EntryDate``) may have changed yesterday, and
    left out by such a date it would never arrive. So without ``Modified`` all rows are loaded.

    Returns:
        ``filter``: only rows since then are asked for; ``dropped``: all rows are read once, because the
        order of row versions is not that of ``Modified`` (API 4.3), and older ones are not loaded;
        ``none``: all rows are read and loaded.
    """
    if entity.division_from or entity.name == "deleted":
        return "none"  # short lists, read whole for the whole run
    if plan.full.cursor == "Modified":
        return "filter"
    return "dropped" if "Modified" in plan.fields else "none"


def starts_by_version(plan: Plan) -> bool:
    """Whether a first read from a ``start_date`` may begin at a row version (API 4.3).

    Only where older rows among those that follow can be told by their ``Modified``.
    """
    return plan.full.start_date and "Modified" in plan.fields


_NO_GUID = "guid'00000000-0000-0000-0000-000000000000'"
# Filters that every row passes, the surest first. Keys come before numbers, which may be null.
_TRUE_FOR_ALL = {
    "Modified": "Modified ge datetime'1900-01-01T00:00:00'",
    "Created": "Created ge datetime'1900-01-01T00:00:00'",
    "ID": f"ID ne {_NO_GUID}",
    "EntryID": f"EntryID ne {_NO_GUID}",
    "QuotationID": f"QuotationID ne {_NO_GUID}",
    "StockTransactionId": f"StockTransactionId ne {_NO_GUID}",
    "LineNumber": "LineNumber ge 0",
}
# These have a sync sibling, so that a filter is demanded (API 2.5), and neither a Modified nor a list
# of what may be filtered on.
_BY_KEY = frozenset(
    {
        "crm/QuotationLines",
        "documents/DocumentAttachments",
        "manufacturing/BillOfMaterialMaterials",
        "manufacturing/MaterialIssues",
    }
)


def harmless_filter(feed: Feed) -> str | None:
    """A ``$filter`` that lets every row pass; ``None`` where none is demanded or none is sure to work.

    Exact demands one on more endpoints than it lists, and perhaps not of every app (API 2.5): a call
    with a needless filter costs nothing, one without a mandatory filter costs the stream.
    """
    if feed.kind not in {"regular", "bulk"}:
        return None
    allowed = feed.mandatory_filter or feed.filterable
    if allowed is None:
        allowed = feed.columns if feed.path in _BY_KEY else (feed.cursor or "",)
    return next((text for field, text in _TRUE_FOR_ALL.items() if field in allowed), None)
