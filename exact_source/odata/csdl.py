"""Parses ``$metadata``: the entity sets of one service with their keys and columns (OData v2 CSDL)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from ..catalogue.types import column_type
from ..errors import ContractError

_HTML = b"<html"
MAX_BYTES = 40_000_000  # Exact's own largest answer is 38 MB (API 2.4)


class BrokenMetadataError(ContractError):
    """The document was truncated or replaced in transit; a new request may help.

    Attributes:
        broken: Always true; the client asks again.
    """

    broken = True


class _Builder(ET.TreeBuilder):
    """Refuses a document type, which can define entities that expand without limit; CSDL needs none."""

    def doctype(self, _name: str, _pubid: str | None, _system: str | None) -> None:
        raise _DoctypeError


class _DoctypeError(Exception):
    """The document has a document type."""


@dataclass(frozen=True, slots=True)
class EntitySet:
    """One endpoint, according to ``$metadata``.

    Attributes:
        name: Last segment of its path.
        key: OData key fields.
        columns: Field -> type code of the catalogue.
        unknown_types: Fields whose type has no type code in the catalogue -> that type.
        navigation: Fields that link to other rows.
    """

    name: str
    key: tuple[str, ...]
    columns: Mapping[str, str]
    unknown_types: Mapping[str, str]
    navigation: tuple[str, ...]


def parse_csdl(body: bytes, where: str) -> dict[str, EntitySet]:
    """Name -> entity set.

    Args:
        body: Body of the reply; any EDM namespace is accepted, because its year differs between servers.
        where: Service in words, for messages.

    Raises:
        BrokenMetadataError: If the body is not XML, or an HTML page.
        ContractError: If it is XML of another kind, or has a document type.
    """
    root = _parse(body, where)
    types = {
        f"{namespace}.{node.get('Name')}": node
        for namespace, schema in _schemas(root)
        for node in _children(schema, "EntityType")
    }
    sets = {
        str(node.get("Name")): types.get(str(node.get("EntityType")))
        for _, schema in _schemas(root)
        for container in _children(schema, "EntityContainer")
        for node in _children(container, "EntitySet")
    }
    if not types:
        raise ContractError(f"{where}: $metadata describes no entity type")
    return {name: _entity_set(name, node) for name, node in sets.items() if node is not None}


def _parse(body: bytes, where: str) -> ET.Element:
    if len(body) > MAX_BYTES:
        raise ContractError(f"{where}: $metadata is too large; it was not read")
    if _HTML in body[:4096].lower():
        raise BrokenMetadataError(f"{where}: Exact Online sent an HTML page instead of $metadata")
    try:
        root = ET.fromstring(body, ET.XMLParser(target=_Builder()))  # noqa: S314 (see _Builder)
    except _DoctypeError:
        raise ContractError(
            f"{where}: $metadata declares a document type; it was not read"
        ) from None
    except ET.ParseError as error:
        raise BrokenMetadataError(f"{where}: $metadata is truncated or not XML") from error
    if _local(root) != "Edmx":
        raise BrokenMetadataError(
            f"{where}: Exact Online sent another document instead of $metadata"
        )
    return root


def _entity_set(name: str, node: ET.Element) -> EntitySet:
    columns: dict[str, str] = {}
    unknown: dict[str, str] = {}
    for prop in _children(node, "Property"):
        field, kind = str(prop.get("Name")), str(prop.get("Type"))
        if type_code := column_type(field, kind):
            columns[field] = type_code
        else:
            unknown[field] = kind
    keys = [
        str(ref.get("Name"))
        for key in _children(node, "Key")
        for ref in _children(key, "PropertyRef")
    ]
    links = (str(link.get("Name")) for link in _children(node, "NavigationProperty"))
    return EntitySet(name, tuple(keys), columns, unknown, tuple(links))


def _schemas(root: ET.Element) -> Iterator[tuple[str, ET.Element]]:
    for services in _children(root, "DataServices"):
        for schema in _children(services, "Schema"):
            yield str(schema.get("Namespace")), schema


def _children(node: ET.Element, name: str) -> Iterator[ET.Element]:
    return (child for child in node if _local(child) == name)


def _local(node: ET.Element) -> str:
    return node.tag.rpartition("}")[2]
