"""Masks single values: equal values get equal masks, so that joins still work.

The secrets of a recording are never written. Letters and digits become full-width characters, which
bookkeeping data does not contain, so a masked text never equals the original text of another row.
"""

from __future__ import annotations

import hmac
import secrets
import string
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Literal

Kind = Literal["guid", "text", "date", "amount", "number", "division"]
# Kinds whose masks never equal an original value.
DISJOINT: frozenset[Kind] = frozenset({"guid", "text"})
UPPER, LOWER, DIGIT = 0xFF21, 0xFF41, 0xFF10  # full-width A, a and 0
LETTERS, DIGITS = 26, 10
KEPT = frozenset(string.whitespace + string.punctuation)
NO_GUID = "00000000-0000-0000-0000-000000000000"
DAY_MS = 86_400_000
LEAST_DIVISION, DIVISIONS = 1_000_000, 8_999_999
LEAST_DAYS, MOST_DAYS = 400, 2500
FACTOR_DIGITS = 6
SPREAD = 10**6


@dataclass(frozen=True)
class Secrets:
    """The secret parameters of the masks of one recording.

    Attributes:
        key: Random bytes for texts and keys.
        factor: Factor for amounts. Its last digit is 1, 3, 7 or 9, so that nearly every masked amount
            has more decimals than a real one.
        days: Days that are subtracted from dates.
        offset: Number that is added to document numbers.
    """

    key: bytes = field(repr=False)
    factor: Decimal = field(repr=False)
    days: int = field(repr=False)
    offset: int = field(repr=False)


class Masks:
    """Masks values, and remembers the originals and masks as hashes.

    Args:
        chosen: Secret parameters of the masks.
    """

    def __init__(self, chosen: Secrets) -> None:
        self.secrets = chosen
        self._originals: set[bytes] = set()
        self._made: set[bytes] = set()

    def guid(self, value: str) -> str:
        """A different guid; the all-zero guid is kept."""
        low = value.lower()
        if low == NO_GUID:
            return value
        digits = self._digest("guid", low).hex()[:32]
        masked = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"
        return self._noted("guid", low, masked)

    def text(self, value: str) -> str:
        """A text of the same length; white space and punctuation are kept, so padding does not matter."""
        core = value.strip()
        if is_plain(core):
            return value
        start = value.index(core)
        stream = self._stream(core)
        masked = "".join(
            c if c in KEPT else _wide(c, n) for c, n in zip(core, stream, strict=False)
        )
        masked = self._noted("text", core, masked)
        return value[:start] + masked + value[start + len(core) :]

    def date(self, ms: int) -> int:
        """The date in milliseconds, moved back by ``Secrets.days``."""
        return int(self._noted("date", str(ms), str(ms - self.secrets.days * DAY_MS)))

    def moment(self, iso: str) -> str:
        """The same for an ISO text without a time zone."""
        at = datetime.fromisoformat(iso)
        moved = at - timedelta(days=self.secrets.days)
        return moved.isoformat() if len(iso) > len("2026-01-31") else moved.date().isoformat()

    def amount(self, value: Decimal) -> Decimal:
        """The exact product of amount and factor, so that sums still balance."""
        masked = value * self.secrets.factor
        self._noted("amount", plain_number(value), plain_number(masked))
        return masked

    def number(self, value: int) -> int:
        """A different document number; 0 means none and is kept."""
        if not value:
            return value
        return int(self._noted("number", str(value), str(value + self.secrets.offset)))

    def division(self, value: int) -> int:
        """A different division code."""
        digest = int.from_bytes(self._digest("division", str(value))[:8], "big")
        return int(self._noted("division", str(value), str(LEAST_DIVISION + digest % DIVISIONS)))

    def is_division(self, value: str) -> bool:
        """Whether a number is the code of a division that was masked."""
        return _mark("division", value) in self._originals

    def is_masked(self, kind: Kind, value: str) -> bool:
        """Whether a value is a known mask and, for ``DISJOINT`` kinds, not also an original."""
        if is_nothing(kind, value):
            return True
        mark = _mark(kind, value)
        return mark in self._made and not (kind in DISJOINT and mark in self._originals)

    def _noted(self, kind: Kind, value: str, masked: str) -> str:
        self._originals.add(_mark(kind, value))
        self._made.add(_mark(kind, masked))
        return masked

    def _digest(self, kind: str, value: str, turn: int = 0) -> bytes:
        text = f"{kind} {turn} {value}".encode("utf-8", "surrogatepass")
        return hmac.digest(self.secrets.key, text, "sha256")

    def _stream(self, value: str) -> bytes:
        """At least as many pseudo-random bytes as the text has characters, derived from the whole text."""
        turns = range(len(value) // 32 + 1)
        return b"".join(self._digest("text", value, turn) for turn in turns)


def _mark(kind: Kind, value: str) -> bytes:
    return blake2b(f"{kind} {value}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def plain_number(value: Decimal) -> str:
    """A number without needless zeros."""
    return f"{value.normalize():f}" if value else "0"


def is_nothing(kind: Kind, value: str) -> bool:
    """Whether a value tells nothing, so that it is left as it is."""
    if kind == "text":
        return is_plain(value)
    return value in {"0", NO_GUID}


def is_plain(text: str) -> bool:
    """Whether a text has only blanks and punctuation, which are not masked."""
    return all(c in KEPT for c in text)


def _wide(character: str, number: int) -> str:
    if character.isdigit():
        return chr(DIGIT + number % DIGITS)
    return chr((UPPER if character.isupper() else LOWER) + number % LETTERS)


def new_masks() -> Masks:
    """Masks with new secrets."""
    last = secrets.choice((1, 3, 7, 9))
    thousandths = 110_000 + secrets.randbelow(790_000)
    factor = Decimal(thousandths * 10 + last).scaleb(-FACTOR_DIGITS)
    days = LEAST_DAYS + secrets.randbelow(MOST_DAYS - LEAST_DAYS)
    offset = SPREAD + secrets.randbelow(SPREAD)
    return Masks(Secrets(secrets.token_bytes(32), factor, days, offset))
