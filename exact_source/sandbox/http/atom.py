"""Replies as Atom feeds, which Exact sends unless JSON is requested (API 3.1)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ..data.catalogue import EDM_TYPES, Row
from ..odata.literals import iso_digits
from ..odata.payload import EXACT_INTEGERS, Answer, address, expanded_of

ATOM_TYPE = "application/atom+xml;charset=utf-8"
NAMESPACES = (
    'xmlns="http://www.w3.org/2005/Atom"'
    ' xmlns:d="http://schemas.microsoft.com/ado/2007/08/dataservices"'
    ' xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"'
)
SCHEME = "http://schemas.microsoft.com/ado/2007/08/dataservices/scheme"
RELATED = "http://schemas.microsoft.com/ado/2007/08/dataservices/related"
HEAD = '<?xml version="1.0" encoding="utf-8" standalone="yes"?>'


def render_atom(answer: Answer, at: float) -> bytes:
    """The body of a successful reply; control characters in texts are sent unchanged (API 3.1)."""
    updated = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    base = f"xml:base={quoteattr(answer.root + '/')}"
    if answer.single:
        return f"{HEAD}{_entry(answer, 0, updated, f'{base} {NAMESPACES} ')}".encode()
    return (HEAD + _feed(answer, updated, f"{base} {NAMESPACES}")).encode()


def _feed(answer: Answer, updated: str, attributes: str = "") -> str:
    name, title = answer.endpoint.name, escape(answer.endpoint.name)
    parts = [
        f"<feed {attributes}>" if attributes else "<feed>",
        f'<title type="text">{title}</title>',
        f"<id>{escape(f'{answer.root}/{answer.endpoint.path}')}</id><updated>{updated}</updated>",
        f'<link rel="self" title={quoteattr(name)} href={quoteattr(name)} />',
    ]
    if answer.count is not None:
        parts.append(f"<m:count>{answer.count}</m:count>")
    parts += [_entry(answer, index, updated) for index in range(len(answer.rows))]
    if answer.next_url is not None:
        parts.append(f'<link rel="next" href={quoteattr(answer.next_url)} />')
    parts.append("</feed>")
    return "".join(parts)


def _entry(answer: Answer, index: int, updated: str, attributes: str = "") -> str:
    row, endpoint = answer.rows[index], answer.endpoint
    uri = address(answer.root, endpoint, row)
    properties = "".join(
        property_xml(column, answer.text(column, row.get(column)), type_code)
        for column, type_code in answer.columns.items()
    )
    opening = f"<entry {attributes.strip()}>" if attributes else "<entry>"
    return (
        f'{opening}<id>{escape(uri)}</id><title type="text"></title><updated>{updated}</updated>'
        f'<author><name /></author><link rel="edit" title={quoteattr(endpoint.name)}'
        f" href={quoteattr(uri.removeprefix(answer.root + '/'))} />{_links(answer, row, uri, updated)}"
        f"<category term={quoteattr(endpoint.model)} scheme={quoteattr(SCHEME)} />"
        f'<content type="application/xml"><m:properties>{properties}</m:properties></content></entry>'
    )


def _links(answer: Answer, row: Row, uri: str, updated: str) -> str:
    """Links to the collections of a row; an expanded collection contains its rows."""
    inline = {
        name: f"<m:inline>{_feed(inner, updated)}</m:inline>"
        for name, inner in expanded_of(answer, row)
    }
    return "".join(
        f'<link rel="{RELATED}/{name}" type="application/atom+xml;type=feed" title="{name}"'
        f" href={quoteattr(f'{uri}/{name}')}>{inline.get(name, '')}</link>"
        for name in (*inline, *answer.deferred)
    )


def render_value(name: str, value: Any, edm: str) -> bytes:
    """The reply of a function that returns a single value."""
    namespaces = NAMESPACES.split(" ", 1)[1]  # without the one of Atom
    return f'{HEAD}<d:{name} {namespaces} m:type="{edm}">{text_of(value)}</d:{name}>'.encode()


def property_xml(column: str, value: Any, type_code: str) -> str:
    """One ``d:`` element; strings have no type attribute, nulls are marked."""
    edm = EDM_TYPES[type_code]
    kind = "" if edm == "Edm.String" else f' m:type="{edm}"'
    if value is None:
        return f'<d:{column}{kind} m:null="true" />'
    text = escape(text_of(value))
    space = ' xml:space="preserve"' if text != text.strip() else ""
    return f"<d:{column}{kind}{space}>{text}</d:{column}>"


def text_of(value: Any) -> str:
    """A value as XML text: dates without a zone, ``true`` and ``false`` in lower case."""
    if isinstance(value, datetime):
        return iso_digits(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_INTEGERS:
        return str(int(value))
    return str(value)
