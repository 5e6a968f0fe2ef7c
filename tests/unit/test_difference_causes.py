"""Why a balance differs from Exact's own: the lines whose total is the difference."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from exact_source.verify.books import UNKNOWN, Causes

CELL = (2026, 2, "gl")
TODAY = date(2026, 3, 31)
LINE = {
    "financial_year": 2026, "financial_period": 2, "gl_account": "GL", "type": 20, "status": 50,
    "is_bad": 0, "amount_dc": Decimal(100), "amount_fc": Decimal(100), "last_day": date(2026, 2, 10),
}  # fmt: skip


def cause(difference: str, *lines: dict[str, Any], changed: bool = False) -> str:
    causes = Causes([LINE, *({**LINE, **line} for line in lines)], changed, TODAY)
    return causes.of(CELL, Decimal(difference))


DRAFT = {"status": 20, "amount_dc": Decimal(30), "amount_fc": Decimal(30)}
REJECTED = {"status": 5, "is_bad": 1, "amount_dc": Decimal(40), "amount_fc": Decimal(40)}
YEAR_END = {"type": 326, "amount_dc": Decimal(50), "amount_fc": Decimal(50)}
DOLLARS = {"amount_dc": Decimal(90), "amount_fc": Decimal(110)}


@pytest.mark.parametrize(
    ("line", "difference", "word"),
    [
        (DRAFT, "30", "drafts"),
        (REJECTED, "-40", "rejected"),
        (YEAR_END, "-50", "carry"),
        (DOLLARS, "-20", "currency"),
    ],
)
def test_the_lines_that_add_up_to_it_are_the_cause(
    line: dict[str, Any], difference: str, word: str
) -> None:
    assert word in cause(difference, line)
    assert cause("1.23", line) == UNKNOWN


def test_otherwise_it_changed_since_or_its_period_is_open() -> None:
    assert cause("1.23", changed=True) == "changed since the sync"
    assert cause("1.23", {"last_day": date(2026, 3, 2)}) == "the period is open"
