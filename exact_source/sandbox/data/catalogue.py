"""The endpoints of Exact Online and the rules of each, according to the shipped catalogue.

``catalogue/catalogue.json`` is data; this module is the sandbox's own reading of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from typing import Any, Literal

from .type_names import type_name

Kind = Literal["regular", "bulk", "sync", "function"]
Row = dict[
    str, Any
]  # Python values by column: str, int, float, bool, naive datetime; null is absent
Key = tuple[Any, ...]

# The catalogue's type codes; "m" is an Edm.Double that holds money.
EDM_TYPES = {
    "g": "Edm.Guid",
    "s": "Edm.String",
    "f": "Edm.Double",
    "m": "Edm.Double",
    "i": "Edm.Int32",
    "h": "Edm.Int16",
    "y": "Edm.Byte",
    "l": "Edm.Int64",
    "t": "Edm.DateTime",
    "b": "Edm.Boolean",
    "x": "Edm.Binary",
}


@dataclass(frozen=True)
class Endpoint:
    """One path that can be read.

    Attributes:
        path: Path after the division, such as ``crm/Accounts``.
        entity: Entity of the rows; feeds of the same entity serve the same rows.
        key: Columns that identify a row; empty for reports without a key.
        columns: Type code by column, in the order in which they are served.
        filterable: Columns that ``$filter`` may use; ``None`` for all.
        mandatory_filter: ``$filter`` must use one of these, unless there are none (API 2.5).
        parameters: Parameters of a function: name -> (type code, required) (API 8.2).
        empty_refusal: Text of the 400 that replaces an empty list or answers a missing parameter
            (API 12.10); empty if the endpoint has none.
        has_sync_sibling: Whether a sync feed has the same rows; such endpoints require a filter (API 2.5).
    """

    path: str
    kind: Kind
    entity: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    page: int
    filterable: frozenset[str] | None = None
    mandatory_filter: tuple[str, ...] = ()
    no_star: bool = False
    parameters: Mapping[str, tuple[str, bool]] = field(default_factory=dict)
    empty_refusal: str = ""
    start_date: bool = False
    no_division: bool = False
    has_sync_sibling: bool = False

    @cached_property
    def name(self) -> str:
        """The last part of the path, which is the name of the OData collection."""
        return self.path.rsplit("/", 1)[-1]

    @cached_property
    def service(self) -> str:
        """The path without its last part, below which ``$metadata`` is served."""
        return self.path.rsplit("/", 1)[0]

    @cached_property
    def model(self) -> str:
        """The type name that rows carry in ``__metadata``."""
        return type_name(self.path)


@dataclass(frozen=True)
class Entity:
    """The common properties of several feeds: key, all columns, tombstone code (API appendix B)."""

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    deleted_code: int | None
    has_sync: bool


class Catalogue:
    """All endpoints of one sandbox, by path; columns can be added and dropped as Exact does."""

    def __init__(self) -> None:
        entities, endpoints = _shipped()
        self.entities, self.endpoints = dict(entities), dict(endpoints)
        self._spellings = {_any_case(endpoint): path for path, endpoint in endpoints.items()}

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self.endpoints.values())

    def endpoint(self, path: str) -> Endpoint:
        """The endpoint at ``path``, in the catalogue's spelling."""
        try:
            return self.endpoints[path]
        except KeyError:
            raise ValueError(f"no endpoint of Exact Online is called {path!r}") from None

    def spelled(self, path: str) -> str:
        """The catalogue's spelling of a path; unknown paths are returned unchanged.

        The service may be in upper or lower case, the name of the set may not (API 12.3).
        """
        service, _, name = path.rpartition("/")
        return self._spellings.get((service.lower(), name), path)

    def entity_of(self, path: str) -> Entity:
        """The entity whose rows ``path`` serves."""
        return self.entities[self.endpoint(path).entity]

    def feed(self, entity: str, kind: Kind) -> Endpoint | None:
        """The endpoint of this kind that serves ``entity``, if there is one."""
        found = (e for e in self if e.entity == entity and e.kind == kind)
        return next(found, None)

    def add_column(self, path: str, column: str, type_code: str = "s") -> None:
        """Add a column to one endpoint, as Exact does."""
        endpoint, entity = self.endpoint(path), self.entity_of(path)
        new = {column: type_code}
        self.endpoints[path] = replace(endpoint, columns={**endpoint.columns, **new})
        self.entities[entity.name] = replace(entity, columns={**entity.columns, **new})

    def drop_column(self, path: str, column: str) -> None:
        """Remove a column from one endpoint, as Exact does."""
        endpoint = self.endpoint(path)
        rest = {name: type_code for name, type_code in endpoint.columns.items() if name != column}
        self.endpoints[path] = replace(endpoint, columns=rest)

    def drop_endpoint(self, path: str) -> None:
        """Remove one endpoint, as Exact does when it retires or renames one."""
        del self.endpoints[self.endpoint(path).path]


def _any_case(endpoint: Endpoint) -> tuple[str, str]:
    return endpoint.service.lower(), endpoint.name


# Sync feeds whose plain endpoint has another name (API 4.4).
OTHER_NAMES = {
    "sync/SalesOrder/SalesOrderHeaders": "sync/SalesOrder/SalesOrders",
    "sync/CRM/QuotationHeaders": "sync/CRM/Quotations",
}


def _with_siblings(endpoints: Iterable[Endpoint]) -> dict[str, Endpoint]:
    """Endpoints by path, marked if a sync feed has the same service and name.

    Only the names decide, so that the sandbox does not repeat a mistake of the catalogue.
    """
    found = {endpoint.path: endpoint for endpoint in endpoints}
    synced = [OTHER_NAMES.get(path, path) for path in found if path.startswith("sync/")]
    siblings = [path.lower().split("/")[1:] for path in synced if path.count("/") > 1]
    for path, endpoint in found.items():
        service, name = endpoint.service.lower().removeprefix("bulk/"), endpoint.name.lower()
        if endpoint.kind in {"regular", "bulk"} and any(
            service.startswith(s) and name == n for s, n in siblings
        ):
            found[path] = replace(endpoint, has_sync_sibling=True)
    return found


@cache
def _shipped() -> tuple[Mapping[str, Entity], Mapping[str, Endpoint]]:
    """Entities by name and endpoints by path, before a sandbox changes its own copy."""
    file = resources.files("exact_source") / "catalogue" / "catalogue.json"
    raw: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["entities"]
    entities = {name: _entity(name, body) for name, body in raw.items()}
    endpoints = (e for name, body in raw.items() for e in _endpoints(name, body))
    return entities, _with_siblings(endpoints)


def _entity(name: str, body: Mapping[str, Any]) -> Entity:
    return Entity(
        name=name,
        key=tuple(body["key"]),
        columns=body["columns"],
        deleted_code=body.get("deleted_code"),
        has_sync="sync" in body["feeds"],
    )


def _endpoints(name: str, body: Mapping[str, Any]) -> Iterator[Endpoint]:
    for kind, feed in body["feeds"].items():
        without = set(feed.get("without", ()))
        allowed = feed.get("filter")
        yield Endpoint(
            path=feed["path"],
            kind=kind,
            entity=name,
            key=tuple(body["key"]),
            columns={c: t for c, t in body["columns"].items() if c not in without},
            page=feed["page"],
            filterable=None if allowed is None else frozenset(allowed),
            mandatory_filter=tuple(feed.get("mandatory_filter", ())),
            no_star=feed.get("no_star", False),
            parameters=_parameters(feed),
            empty_refusal=feed.get("empty", ""),
            start_date=feed.get("start_date", False),
            no_division=feed.get("no_division", False),
        )


def _parameters(feed: Mapping[str, Any]) -> dict[str, tuple[str, bool]]:
    """All parameters of a function, including those that this project does not send."""
    asked = {
        name: (t, bool(required)) for name, (t, required) in feed.get("parameters", {}).items()
    }
    fixed = {name: (t, False) for name, (t, _) in feed.get("fixed", {}).items()}
    return asked | fixed | {name: (t, False) for name, t in feed.get("optional", {}).items()}
