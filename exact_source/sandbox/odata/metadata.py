"""``$metadata``: the CSDL of one service, in the form of the live service (API 3.1, 12.8).

There is one schema per namespace of types, and one with the container. Associations are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from ..data.catalogue import EDM_TYPES, Catalogue, Endpoint
from ..data.type_names import namespace
from ..deviations.schema import changed_endpoint
from ..http.errors import NOT_FOUND, RefusedError
from .navigation import collections_of

EDM = "http://schemas.microsoft.com/ado/2006/04/edm"
METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"


def render_metadata(catalogue: Catalogue, service: str, active: Collection[str] = ()) -> str:
    """The entity types and sets of the endpoints directly under ``service``, such as ``crm``.

    With the deviation ``one-metadata``, those of all services if ``service`` is empty.

    Raises:
        RefusedError: 404, if there is no such service.
    """
    whole = not service and "one-metadata" in active
    known = [e for e in catalogue if whole or e.service.lower() == service.lower()]
    endpoints = [e for one in known if (e := changed_endpoint(active, one)) is not None]
    if not endpoints:
        raise RefusedError(404, NOT_FOUND)
    sets = "".join(
        f'<EntitySet Name="{endpoint.name}" EntityType="{endpoint.model}" />'
        for endpoint in endpoints
    )
    container = namespace(endpoints[0].service.removeprefix("beta/"))
    return (
        '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
        '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">'
        f'<edmx:DataServices m:DataServiceVersion="1.0" xmlns:m="{METADATA}">'
        f"{_schemas(endpoints)}"
        f'<Schema Namespace="Exact.Web.Api.Entity.{container}" xmlns="{EDM}">'
        f'<EntityContainer Name="DataSource" m:IsDefaultEntityContainer="true">{sets}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _schemas(endpoints: list[Endpoint]) -> str:
    types: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for endpoint in endpoints:
        types[endpoint.model.rpartition(".")[0]][endpoint.model] = _entity_type(endpoint)
    return "".join(
        f'<Schema Namespace="{name}" xmlns="{EDM}">{"".join(inside.values())}</Schema>'
        for name, inside in types.items()
    )


def _entity_type(endpoint: Endpoint) -> str:
    # The OData key of sync feeds is the row version; another column identifies a row there.
    key = ("Timestamp",) if endpoint.kind == "sync" else endpoint.key
    refs = "".join(f'<PropertyRef Name="{column}" />' for column in key)
    properties = "".join(
        f'<Property Name="{column}" Type="{EDM_TYPES[type_code]}"'
        f' Nullable="{"false" if column in key else "true"}" />'
        for column, type_code in endpoint.columns.items()
    )
    keys = f"<Key>{refs}</Key>" if refs else ""
    short = endpoint.model.rpartition(".")[2]
    links = "".join(
        f'<NavigationProperty Name="{link.name}" Relationship="{endpoint.model}_{link.name}"'
        f' FromRole="{short}" ToRole="{link.name}" />'
        for link in collections_of(endpoint)
    )
    return f'<EntityType Name="{short}">{keys}{properties}{links}</EntityType>'
