"""Masks whole replies and the URLs of calls."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ...catalogue import load_catalogue
from ..refusal import mask_values
from .masks import Kind, Masks, plain_number

ORIGIN = "{origin}"  # replaces the site's origin in URLs within replies
GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
DATE = re.compile(r"/Date\((-?\d+)([+-]\d{4})?\)/")
ISO = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?")
LITERAL = re.compile(r"(guid|datetime)?'((?:[^']|'')*)'|(?<![\w.])(\d{5,})(?![\w.])")
# A division in a path, and as the key of a list of divisions.
IN_PATH = re.compile(r"(?<=/api/v1/)(beta/)?(\d+)(?=/)")
LISTED = re.compile(r"(divisions\()(\d+)(?=\))", re.IGNORECASE)
# Values that are part of the API, not of a row.
KEPT = frozenset(
    {"ServerTime", "ServerUtcOffset", "API", "TimeStampAsBigInt", "BalanceType", "BalanceSide"}
)
OF_ADDRESS = frozenset({"uri", "__next"})
NAMED = frozenset({"type", "__count"})
DIVISION_LISTS = frozenset(
    {
        "system/divisions", "system/alldivisions", "hrm/divisions",
        "system/getmostrecentlyuseddivisions",
    }
)  # fmt: skip
PLACES = ("LineNumber", "SequenceNumber", "VersionNumber", "WeekNumber")
NUMBERS = ("Number", "HID", "Hid", "OurRef", "EntryNo")
# Doubles that reveal as much as an amount; quantities, hours and percentages are not masked.
VALUES = re.compile("Rate$|RateFC$|Burden|Value$|FreeNumberField|^Latitude$|^Longitude$")
PUBLIC_RATES = frozenset({"ExchangeRate", "IntercompanyRate"})
# Functions whose text parameters name endpoints.
NAMING = ("users/userhasrights", "read/sync/sync/synctimestamp")


@cache
def type_codes() -> tuple[Mapping[str, Mapping[str, str]], Mapping[str, str]]:
    """Field -> type code: by endpoint in lower case, and for fields of any endpoint."""
    by_path: dict[str, dict[str, str]] = {}
    of_any: dict[str, str] = {}
    for entity in load_catalogue().entities.values():
        fields = {name: column.type_code for name, column in entity.columns.items()}
        for feed in entity.feeds.values():
            by_path[feed.path.lower()] = fields
        for name, type_code in fields.items():
            if of_any.setdefault(name, type_code) == "f":  # money takes precedence
                of_any[name] = type_code
    return by_path, of_any


def kind_of(path: str, field: str, value: Any) -> Kind | None:
    """The kind of a value; ``None`` if values of its kind are not masked."""
    if value is None or isinstance(value, bool) or field in KEPT or field in NAMED:
        return None
    by_path, of_any = type_codes()
    type_code = by_path.get(path.lower(), {}).get(field) or of_any.get(field, "")
    if isinstance(value, str):
        return _kind_of_text(type_code, value)
    if type_code == "f" and VALUES.search(field) and field not in PUBLIC_RATES:
        return "amount"
    if type_code == "m" or (isinstance(value, Decimal) and type_code != "f"):
        return "amount"
    return None if isinstance(value, Decimal) else _kind_of_integer(path, field)


def _kind_of_integer(path: str, field: str) -> Kind | None:
    is_code = field == "Code" and path.lower() in DIVISION_LISTS
    if field.endswith("Division") or is_code:
        return "division"
    return "number" if field.endswith(NUMBERS) and not field.endswith(PLACES) else None


def _kind_of_text(type_code: str, value: str) -> Kind | None:
    if DATE.fullmatch(value):
        return "date"
    if type_code == "l" and value.lstrip("-").isdigit():
        return None  # a row version
    if GUID.fullmatch(value):
        return "guid"
    return "text"


def masked_leaf(masks: Masks, path: str, field: str, value: Any) -> Any:
    """A value of a row, masked."""
    kind = kind_of(path, field, value)
    if kind is None:
        return value
    if kind == "date":
        return DATE.sub(lambda m: f"/Date({masks.date(int(m[1]))}{m[2] or ''})/", value)
    if kind == "amount":
        return masks.amount(Decimal(value))
    masked: Any = getattr(masks, kind)(value)
    return masked


class Documents:
    """Masks the documents of one recording.

    Args:
        masks: Masks values.
        origin: Origin of the site.
    """

    def __init__(self, masks: Masks, origin: str) -> None:
        self._masks = masks
        self._origin = origin.rstrip("/")

    def address(self, url: str) -> str:
        """Path and query of a call, decoded and masked, without the origin."""
        parts = urlsplit(url)
        path = unquote(parts.path)
        names_endpoint = path.lower().endswith(NAMING)
        path = IN_PATH.sub(self._division, path)
        path = LISTED.sub(self._division, path)
        text = path + (f"?{unquote(parts.query)}" if parts.query else "")
        return LITERAL.sub(lambda m: self._literal(m, keeps_text=names_endpoint), text)

    def _division(self, match: re.Match[str]) -> str:
        return f"{match[1] or ''}{self._masks.division(int(match[2]))}"

    def _literal(self, match: re.Match[str], *, keeps_text: bool) -> str:
        kind, quoted, number = match.groups()
        if number is not None:
            is_code = self._masks.is_division(number)
            return str(self._masks.division(int(number))) if is_code else number
        if kind == "guid" and GUID.fullmatch(quoted):
            return f"guid'{self._masks.guid(quoted)}'"
        if kind == "datetime" and ISO.fullmatch(quoted):
            return f"datetime'{self._masks.moment(quoted)}'"
        return match[0] if keeps_text else f"{kind or ''}'{self._masks.text(quoted)}'"

    def body(self, path: str, url: str, status: int, content_type: str, body: bytes) -> str:
        """The masked body of a reply; empty if its form is unknown."""
        text = body.decode("utf-8-sig", "replace")
        if "/$metadata" in url:
            return text if status == 200 and "<html" not in text[:4096].lower() else ""  # noqa: PLR2004
        if "/$count" in url:
            return text if text.strip().isdigit() else ""
        if "json" not in content_type:
            return ""
        try:
            document = json.loads(text, parse_float=Decimal)
        except ValueError:
            return ""
        if isinstance(document, dict) and "error" in document:
            return _dump(self._error(document, url))
        return _dump(self._masked(path, "", document))

    def _error(self, document: dict[str, Any], url: str) -> dict[str, Any]:
        try:
            stated = str(document["error"]["message"]["value"])
        except (KeyError, TypeError):
            stated = ""
        return {"error": {"code": "", "message": {"lang": "", "value": mask_values(stated, url)}}}

    def _masked(self, path: str, field: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._masked(path, name, part) for name, part in value.items()}
        if isinstance(value, list):
            return [self._masked(path, field, part) for part in value]
        if field in OF_ADDRESS and isinstance(value, str):
            return self._link(value)
        return masked_leaf(self._masks, path, field, value)

    def _link(self, url: str) -> str:
        """A URL in a reply, with a placeholder for the origin that the replay fills in."""
        parts = urlsplit(url)
        start = ORIGIN if url.startswith(self._origin) or not parts.netloc else "https://elsewhere"
        return start + quote(self.address(url), safe="$,'():/=*;@?&")


def _dump(value: Any) -> str:
    """JSON in which decimals keep all their digits."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    if isinstance(value, Decimal):
        return plain_number(value)
    return json.dumps(value, ensure_ascii=False)


def leaks_of(masks: Masks, path: str, body: str) -> list[str]:
    """Fields of a recorded body with a value that is not masked; there should be none."""
    try:
        document = json.loads(body, parse_float=Decimal)
    except ValueError:
        return []  # $metadata, a number, or nothing
    return list(_leaks(masks, path, "", document))


def _leaks(masks: Masks, path: str, field: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leak for name, part in value.items() for leak in _leaks(masks, path, name, part)]
    if isinstance(value, list):
        return [leak for part in value for leak in _leaks(masks, path, field, part)]
    if field in OF_ADDRESS and isinstance(value, str):
        found = GUID.findall(unquote(value))
        return [field for guid in found if not masks.is_masked("guid", guid.lower())]
    kind = kind_of(path, field, value)
    is_left = kind is not None and not masks.is_masked(kind, plain_of(kind, value))
    return [field] if is_left else []


def plain_of(kind: Kind, value: Any) -> str:
    """A value in the form in which ``Masks`` stores it."""
    if kind == "date":
        found = DATE.fullmatch(str(value))
        return found[1] if found else ""
    if kind == "amount":
        return plain_number(Decimal(value))
    text = str(value)
    return text.lower() if kind == "guid" else text.strip()
