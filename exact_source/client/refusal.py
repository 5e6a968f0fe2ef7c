"""Exact Online's reason for refusing a call, and a hint for the user. No I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import cache
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from ..auth.masking import MASK
from ..catalogue import load_catalogue
from ..errors import WHOLE_ACCOUNT

LIST_OF_DIVISIONS = "system/Divisions"
TYPE_PREFIX = "Exact.Web.Api.Models."
# An apostrophe within a word does not open a literal, but one after guid or datetime does.
_LITERAL = re.compile(
    r"""(?:(?<!\w)|(?<=\bguid)|(?<=\bdatetime))(['"])((?:(?!\1).|\1\1)*)\1(?!\w)"""
)
# E-mail addresses, guids, words with four digits or more in a row, numbers, dates and times.
_VALUE = re.compile(
    r"[\w.+-]+@\w[\w.-]*"
    r"|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|\w*\d{4,}\w*"
    r"|(?<![\w.])[+-]?\d+(?:[.,:/-]\d+)*(?!\w)"
)


def stated_reason(body: bytes) -> str:
    """``error.message.value`` of a reply (API 6.1), unchanged; empty if there is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    match document:
        case {"error": {"message": {"value": str(text)}}}:
            return text
    return ""


def mask_values(text: str, url: str) -> str:
    """The reason for a refused read, without anything that could be a value of a row.

    Quoted literals, numbers, dates, guids and e-mail addresses are masked. Schema words stay, quoted or not:
    the requested fields, types and scopes (API 12.9, 12.14).

    Args:
        text: The reason.
        url: Path and query of the call.
    """
    fields = _fields_of(url)
    parts, end = [], 0
    for found in _LITERAL.finditer(text):
        parts.append(_VALUE.sub(MASK, text[end : found.start()]))
        quote, word = found.groups()
        parts.append(f"{quote}{word if _is_schema_word(word, fields) else MASK}{quote}")
        end = found.end()
    return "".join([*parts, _VALUE.sub(MASK, text[end:])])


def _fields_of(url: str) -> Collection[str]:
    selected = parse_qs(urlsplit(url).query).get("$select", [""])[0]
    return frozenset(selected.split(","))


def _is_schema_word(word: str, fields: Collection[str]) -> bool:
    is_type = word.startswith(TYPE_PREFIX) and word.replace(".", "").isalpha()
    return word in fields or is_type or word.replace(".", " ").lower() in _scopes()


@cache
def _scopes() -> frozenset[str]:
    scopes = (entity.scope for entity in load_catalogue().entities.values())
    return frozenset(scope.lower() for scope in scopes if scope)


def hint(status: int, reason: str, path: str) -> str:
    """What the user can do about a 4xx.

    Args:
        status: HTTP status.
        reason: Value of the ``Reason`` header, empty if absent (API 6.1).
        path: Path of the endpoint, as in the catalogue.
    """
    if reason in WHOLE_ACCOUNT:
        return "the user or the contract is blocked at Exact Online"
    if reason in {"DivisionBlocked", "NoDivisionAccess"}:
        if path == LIST_OF_DIVISIONS:
            return (
                "the division is blocked or outside the app's scope; open another company in Exact "
                "Online, or name one with --divisions CODE (`exact-source divisions`: --via CODE)"
            )
        return "the division is blocked or outside the app's scope; see `exact-source divisions`"
    if status == HTTPStatus.FORBIDDEN:
        return (
            "the user lacks rights, the module or the app's scope; "
            "see `exact-source check --all-divisions`"
        )
    if status == HTTPStatus.NOT_FOUND:
        return (
            f"{path} is not there: renamed, retired, or not in the company's package; "
            "see `exact-source entities refresh`"
        )
    return "the query was refused; see `exact-source entities`"
