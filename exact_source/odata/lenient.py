"""Converts values one by one, for pages with a value that does not fit its column.

A value never drops a row or stops a stream: as much of it as fits goes into the column. If something is lost,
the original goes into ``_extra``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import pyarrow as pa

from .columns import FIRST_MS, KEPT, LAST_MS

_NUMBER = re.compile(r" *([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?) *")
_DATE = re.compile(r"/Date\((-?[0-9]{1,18})(?:[+-][0-9]{4})?\)/")
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?)?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NINE = Decimal("1e-9")
_MONEY_DIGITS = 29  # before the decimal point
_INT64_DIGITS = 19
_CONTEXT = Context(prec=100, rounding=ROUND_HALF_EVEN)
_LARGEST = {"i": 2**31, "h": 2**15, "y": 2**15, "l": 2**63}
_FLAGS = {"true": True, "1": True, "false": False, "0": False}

# (value for the column, whether it is the whole original)
Fit = tuple[Any, bool]
NO_FIT: Fit = (None, False)


class RawNumber(str):
    """The text of a JSON number, or of NaN or Infinity."""

    __slots__ = ()


class DuplicateKeys(dict[str, Any]):
    """A JSON object with repeated names; it has the last value of each, ``repeated`` has all."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: dict[str, list[Any]] = {}
        for name, value in pairs:
            self.repeated.setdefault(name, []).append(value)
        self.repeated = {n: values for n, values in self.repeated.items() if len(values) > 1}


def parse_json(text: str) -> Any:
    """Decode JSON, with numbers as ``RawNumber`` and objects with repeated names as ``DuplicateKeys``.

    Raises:
        ValueError: If the text is not JSON.
        RecursionError: If it is nested too deeply.
    """
    return json.loads(
        text,
        strict=False,
        parse_int=RawNumber,
        parse_float=RawNumber,
        parse_constant=RawNumber,
        object_pairs_hook=_object,
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else DuplicateKeys(pairs)


def format_json(value: Any) -> str:
    """The JSON text of a result of ``parse_json``, with numbers as they were sent."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(k)}: {format_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(format_json(v) for v in value) + "]"
    if isinstance(value, RawNumber):
        return value if _NUMBER.fullmatch(value) else _quoted(value)
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if is_utf8(quoted) else json.dumps(text)


def is_utf8(text: str) -> bool:
    """Whether a text has no lone surrogates, which JSON can escape but UTF-8 cannot encode."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def fitted(type_code: str, values: Sequence[Any]) -> tuple[pa.Array, list[int]]:
    """A column of one type, and the numbers of the rows whose original value it does not fully contain."""
    fit = FITS[type_code]
    kept: list[Any] = []
    bad_rows: list[int] = []
    for row, value in enumerate(values):
        if value is None:
            kept.append(None)
            continue
        fitting, whole = fit(value)
        kept.append(fitting)
        if not whole:
            bad_rows.append(row)
    return pa.array(kept, KEPT[type_code]), bad_rows


def text(value: Any) -> Fit:
    """Text, also from numbers and flags; NUL and lone surrogates cannot be stored and are removed."""
    if isinstance(value, bool):
        return str(value).lower(), True
    if not isinstance(value, str):
        return NO_FIT
    if "\0" not in value and is_utf8(value):
        return str(value), True
    cleaned = value.replace("\0", "").encode("utf-16-le", "surrogatepass")
    return cleaned.decode("utf-16-le", "replace"), False


def guid(value: Any) -> Fit:
    """Text in lower case (A-Z only)."""
    fitting, whole = text(value)
    return fitting and fitting.encode().lower().decode(), whole


def _number(value: Any) -> str | None:
    match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    return match and match[1]


def double(value: Any) -> Fit:
    """A double; NaN and Infinity only if they were sent as JSON literals, not as text."""
    if isinstance(value, RawNumber) and not _NUMBER.fullmatch(value):
        return float(value), True
    number = _number(value)
    if number is None or abs(float(number)) == float("inf"):
        return NO_FIT
    return float(number), True


def amount(value: Any) -> Fit:
    """A decimal, rounded half to even to nine decimals.

    Rounding loses nothing if the result is still the same double as the number that Exact sent.
    """
    number = _decimal(_number(value), digits=_MONEY_DIGITS)
    if number is None:
        return NO_FIT
    rounded = number.quantize(_NINE, context=_CONTEXT)
    if rounded.adjusted() >= _MONEY_DIGITS:
        return NO_FIT
    return rounded, rounded == number or float(rounded) == float(number)


def _decimal(number: str | None, *, digits: int) -> Decimal | None:
    """The number; ``None`` if it has more digits before the point."""
    if number is None:
        return None
    try:
        value = Decimal(number)
    except ArithmeticError:  # an exponent out of range
        return None
    return value if value.adjusted() < digits else None


def integer(type_code: str) -> Callable[[Any], Fit]:
    """A function that converts to integers of this type; flags become 0 and 1."""
    limit = _LARGEST[type_code]

    def fit(value: Any) -> Fit:
        if isinstance(value, bool):
            return int(value), True
        number = _decimal(_number(value), digits=_INT64_DIGITS)
        if number is None or number % 1 or not -limit <= number < limit:
            return NO_FIT
        return int(number), True

    return fit


def flag(value: Any) -> Fit:
    """A flag, also from 0, 1 and texts."""
    if isinstance(value, bool):
        return value, True
    fitting = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
    return fitting, fitting is not None


def date(value: Any) -> Fit:
    """The wall-clock time in microseconds since 1970, from ``/Date(ms)/`` or ISO 8601."""
    if not isinstance(value, str):
        return NO_FIT
    if match := _DATE.fullmatch(value):
        ms = int(match[1])
        return (ms * 1000, True) if FIRST_MS <= ms <= LAST_MS else NO_FIT
    match = _ISO.fullmatch(value)
    return _iso(*match.groups()) if match else NO_FIT


def _iso(*parts: str | None) -> Fit:
    fraction = (parts[6] or "").ljust(9, "0")
    try:
        shown = datetime(*(int(part or 0) for part in parts[:6]), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError:
        return NO_FIT
    whole = (shown - _EPOCH) // timedelta(microseconds=1) + int(fraction[:6])
    return whole, fraction.endswith("000")


FITS: dict[str, Callable[[Any], Fit]] = {
    "g": guid, "s": text, "x": text, "f": double, "m": amount, "t": date, "b": flag,
    **{type_code: integer(type_code) for type_code in _LARGEST},
}  # fmt: skip
