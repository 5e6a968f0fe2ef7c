"""Converts the columns of a page from Exact's types to those of the tables, without a Python loop.

Each type code of the catalogue has a type in which ``pyarrow.json`` reads it and a type in the tables. All
functions here raise ``pyarrow.ArrowInvalid`` if one value does not fit; ``lenient`` then converts the values
one by one.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

MONEY = pa.decimal128(38, 9)
# A double below the first limit has all digits that were sent; all decimals of a double above the second
# fit into the wide type.
_EXACT_BELOW, _NOISE_ABOVE = 1e15, 1e-20
_WIDE = pa.decimal256(76, 38)
# Below the first limit, neighbouring doubles are closer together than amounts with nine decimals. A double
# thus stands for at most one such amount: its printed form, if that has no more decimals.
_ONE_AMOUNT_BELOW, _UNITS = 2.0**22, 1e9
_ASCII_MAX = 0x7F
INSTANT = pa.timestamp("us", tz="UTC")
_ZONE = "Europe/Amsterdam"

RAW: dict[str, pa.DataType] = {
    "g": pa.string(), "s": pa.string(), "x": pa.string(), "t": pa.string(), "l": pa.string(),
    "m": pa.float64(), "f": pa.float64(), "i": pa.int32(), "h": pa.int16(), "y": pa.int16(),
    "b": pa.bool_(),
}  # fmt: skip
KEPT: dict[str, pa.DataType] = RAW | {"t": pa.timestamp("us"), "l": pa.int64(), "m": MONEY}

# Years 1 to 9999, which every destination and Python's datetime support.
FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999

_DATE = r"^/Date\((?P<ms>-?[0-9]+)(?:[+-][0-9]{4})?\)/$"


def strings(texts: pa.Array) -> pa.Array:
    """Texts unchanged, if they are UTF-8 without NUL, which Postgres refuses."""
    data = texts.buffers()[2]
    if data is None or not data.size:
        return texts
    octets = pc.min_max(pa.Array.from_buffers(pa.uint8(), data.size, [None, data])).as_py()
    if octets["min"] == 0:
        raise pa.ArrowInvalid("a text holds NUL")
    if octets["max"] > _ASCII_MAX:
        texts.cast(pa.binary()).cast(pa.string())
    return texts


def guids(texts: pa.Array) -> pa.Array:
    """Guids in lower case."""
    return pc.ascii_lower(strings(texts))


def codes(texts: pa.Array) -> pa.Array:
    """Codes without the spaces with which Exact pads them (API 3.3)."""
    return pc.ascii_trim(strings(texts), characters=" ")


def int64s(texts: pa.Array) -> pa.Array:
    """Integers of 64 bits, which OData v2 sends as text."""
    return texts.cast(pa.int64())


def datetimes(texts: pa.Array) -> pa.Array:
    r"""``/Date(ms)/`` as the date and time that Exact Online shows, without a zone (API 3.5)."""
    framed = pc.and_(pc.starts_with(texts, "/Date("), pc.ends_with(texts, ")/"))
    if pc.all(framed).as_py() is False:
        raise pa.ArrowInvalid("a date has another form")
    try:
        ms = pc.binary_slice(texts.cast(pa.binary()), 6, -2).cast(pa.string()).cast(pa.int64())
    except pa.ArrowInvalid:
        ms = _with_offset(texts).cast(pa.int64())
    ends = pc.min_max(ms).as_py()
    if ends["min"] is not None and (ends["min"] < FIRST_MS or ends["max"] > LAST_MS):
        raise pa.ArrowInvalid("a date lies outside the years 1 to 9999")
    return ms.cast(pa.timestamp("ms")).cast(KEPT["t"])


def _with_offset(texts: pa.Array) -> pa.Array:
    """The milliseconds of ``/Date(ms+0200)/``; Exact Online shows them as they are, without the offset."""
    digits = pc.struct_field(pc.extract_regex(texts, _DATE), "ms")
    if digits.null_count > texts.null_count:
        raise pa.ArrowInvalid("a date has another form")
    return digits


def money(numbers: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array | None]:
    """Amounts, which Exact stores as doubles, as decimals with their printed digits.

    ``pyarrow.json`` can read decimals, but does not check exponents: it reads ``1e75`` wrongly, and
    ``1e-999999999`` crashes the process.

    Returns:
        The amounts with nine decimals, the amounts with all decimals, and a mask of those with more
        than nine (``None`` if there are none).
    """
    ends = pc.min_max(pc.abs(numbers)).as_py()
    if ends["max"] is not None and not ends["max"] < _EXACT_BELOW:
        raise pa.ArrowInvalid("an amount may have more digits than a double has")
    if ends["max"] is not None and ends["max"] < _ONE_AMOUNT_BELOW:
        amounts = _small(numbers)
        if amounts is not None:
            return amounts, amounts, None
    texts = numbers.cast(pa.string())
    try:
        amounts = texts.cast(MONEY)
    except pa.ArrowInvalid:
        return _rounded(numbers, texts)
    return amounts, amounts, None


def _small(numbers: pa.Array) -> pa.Array | None:
    """Amounts by arithmetic instead of texts; ``None`` if one has more than nine decimals."""
    units = pc.round(pc.multiply(numbers, _UNITS))
    if not pc.all(pc.equal(pc.divide(units, _UNITS), numbers)).as_py():
        return None
    whole = units.cast(pa.int64()).cast(pa.decimal128(MONEY.precision, 0))
    return pa.Array.from_buffers(MONEY, len(whole), whole.buffers(), whole.null_count, whole.offset)


def _rounded(numbers: pa.Array, texts: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    tiny = pc.and_(pc.less(pc.abs(numbers), _NOISE_ABOVE), pc.not_equal(numbers, 0))
    if pc.any(tiny).as_py():
        raise pa.ArrowInvalid("an amount is too small for a decimal")
    wide = texts.cast(_WIDE)
    rounded = pc.round(wide, 9, round_mode="half_to_even")
    return rounded.cast(MONEY), wide, pc.not_equal(rounded, wide)


def instants(times: pa.Array) -> pa.Array:
    """Dutch wall-clock times as UTC times; in the hour that repeats in autumn, the first of the two.

    Null if the UTC time is outside the years 1 to 9999, which no destination can store. Also null for the
    first midnight of the year 1, by which Exact means "no date".
    """
    zoned = pc.assume_timezone(times, _ZONE, ambiguous="earliest", nonexistent="latest")
    found = zoned.cast(INSTANT)
    us = found.cast(pa.int64())
    held = pc.and_(pc.greater_equal(us, FIRST_MS * 1000), pc.less_equal(us, LAST_MS * 1000 + 999))
    return pc.if_else(held, found, pa.scalar(None, INSTANT))


_CONVERSIONS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "g": guids, "s": strings, "x": strings, "c": codes, "t": datetimes, "l": int64s,
}  # fmt: skip


def split(array: pa.Array, parts: int) -> list[pa.Array]:
    """Equal parts of an array, without copying it."""
    rows = len(array) // parts
    return [array.slice(part * rows, rows) for part in range(parts)]


def convert(
    raw: dict[str, pa.Array], groups: dict[str, list[str]]
) -> tuple[dict[str, pa.Array], list[tuple[str, int, str]]]:
    """Columns in the types of the tables.

    Args:
        raw: Field -> column as ``pyarrow.json`` read it.
        groups: Type code, or "c" for codes -> the fields of that kind; each field is in one group.

    Returns:
        The columns in the order of ``raw``, and (field, row, number) for each amount with more
        decimals than the table has.

    Raises:
        pyarrow.ArrowInvalid: If a value does not fit.
    """
    arrays = dict(raw)
    rounded: list[tuple[str, int, str]] = []
    for group, fields in groups.items():
        if group in _CONVERSIONS:
            whole = pa.concat_arrays([raw[f] for f in fields])
            parts = split(_CONVERSIONS[group](whole), len(fields))
            arrays.update(zip(fields, parts, strict=True))
        elif group == "m":
            whole = pa.concat_arrays([raw[f] for f in fields])
            amounts, exact, lossy = money(whole)
            arrays.update(zip(fields, split(amounts, len(fields)), strict=True))
            rounded = _originals(exact, lossy, fields)
    return arrays, rounded


def _originals(
    numbers: pa.Array, lossy: pa.Array | None, fields: list[str]
) -> list[tuple[str, int, str]]:
    if lossy is None:
        return []
    rows = len(numbers) // len(fields)
    found = []
    for place in pc.indices_nonzero(lossy).to_pylist():
        column, row = divmod(place, rows)
        number = format(numbers[place].as_py(), "f").rstrip("0")
        found.append((fields[column], row, number))
    return found
