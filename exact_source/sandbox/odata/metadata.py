"""``$metadata``: the CSDL of one service, in the EDMX form of OData v2 (API 3.1)."""

from __future__ import annotations

from ..data.catalogue import EDM_TYPES, Catalogue, Endpoint
from ..http.errors import NOT_FOUND, RefusedError
from .navigation import collections_of

EDM = "http://schemas.microsoft.com/ado/2008/09/edm"
METADATA = "http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"


def render_metadata(catalogue: Catalogue, service: str) -> str:
    """The entity types and sets of the endpoints directly under ``service``, such as ``crm``.

    Raises:
        RefusedError: 404, if there is no such service.
    """
    endpoints = [endpoint for endpoint in catalogue if endpoint.service == service]
    if not endpoints:
        raise RefusedError(404, NOT_FOUND)
    namespace = endpoints[0].model.rpartition(".")[0]
    types = "".join(_entity_type(endpoint) for endpoint in endpoints)
    sets = "".join(
        f'<EntitySet Name="{endpoint.name}" EntityType="{endpoint.model}" />'
        for endpoint in endpoints
    )
    container = service.replace("/", "_")
    return (
        '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'
        '<edmx:Edmx Version="1.0" xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx">'
        f'<edmx:DataServices m:DataServiceVersion="2.0" xmlns:m="{METADATA}">'
        f'<Schema Namespace="{namespace}" xmlns="{EDM}">{types}</Schema>'
        f'<Schema Namespace="Exact.Web.Api.{container}" xmlns="{EDM}">'
        f'<EntityContainer Name="{container}" m:IsDefaultEntityContainer="true">{sets}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _entity_type(endpoint: Endpoint) -> str:
    # The OData key of sync feeds is the row version; what identifies a row there is another column.
    key = ("Timestamp",) if endpoint.kind == "sync" else endpoint.key
    refs = "".join(f'<PropertyRef Name="{column}" />' for column in key)
    properties = "".join(
        f'<Property Name="{column}" Type="{EDM_TYPES[letter]}"'
        f' Nullable="{"false" if column in key else "true"}" />'
        for column, letter in endpoint.columns.items()
    )
    keys = f"<Key>{refs}</Key>" if refs else ""
    namespace = endpoint.model.rpartition(".")[0]
    links = "".join(
        f'<NavigationProperty Name="{link.name}"'
        f' Relationship="{namespace}.{endpoint.name}_{link.name}"'
        f' FromRole="{endpoint.name}" ToRole="{link.name}" />'
        for link in collections_of(endpoint)
    )
    return f'<EntityType Name="{endpoint.name}">{keys}{properties}{links}</EntityType>'
