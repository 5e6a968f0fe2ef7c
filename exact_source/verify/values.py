"""Checks of the form of row values, never of the values themselves."""

from __future__ import annotations

import re

from .answers import Answers
from .checks import Check, Seen, UnmeasuredError, holds_if

CODE_WIDTH, COUNTRY_WIDTH = 18, 3
GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WITH_DIVISION = ("page", "lines", "bulk_lines", "sync_lines", "sync_accounts", "deleted")


def code_padding(answers: Answers) -> Seen:
    """Check the padding of account codes."""
    codes = answers["page"].some("Code")
    good = sum(1 for code in codes if len(code) == CODE_WIDTH and code.strip() == code.lstrip())
    return holds_if(
        good == len(codes),
        f"{CODE_WIDTH} characters, blanks on the left",
        f"{len(codes) - good} of {len(codes)} codes are not padded to {CODE_WIDTH} on the left",
    )


def text_padding(answers: Answers) -> Seen:
    """Check the padding of countries."""
    found = answers["page"].some("Country")
    good = sum(1 for text in found if len(text) == COUNTRY_WIDTH)
    return holds_if(
        good == len(found),
        f"{COUNTRY_WIDTH} characters, blanks on the right",
        f"{len(found) - good} of {len(found)} countries are not padded to {COUNTRY_WIDTH}",
    )


def guids(answers: Answers) -> Seen:
    """Check the form of guids."""
    found = answers["page"].some("ID")
    other = sum(1 for text in found if not GUID.fullmatch(str(text)))
    return holds_if(
        not other, "small letters and hyphens", f"{other} of {len(found)} have another form"
    )


def amounts(answers: Answers) -> Seen:
    """Check the form of amounts."""
    name = "bulk_lines" if answers.has("bulk_lines") else "lines"
    found = answers[name].some("AmountDC")
    other = sum(1 for v in found if isinstance(v, bool) or not isinstance(v, (int, float)))
    return holds_if(not other, "numbers", f"{other} of {len(found)} amounts are not numbers")


def division(answers: Answers) -> Seen:
    """Check whether rows belong to the requested company."""
    found = [code for name in WITH_DIVISION if answers.has(name) for code in _codes(answers, name)]
    if not found:
        raise UnmeasuredError("no row has a Division")
    other = sum(1 for code in found if str(code) != str(answers.division))
    return holds_if(
        not other,
        f"{len(found)} rows are of the company that was asked",
        f"{other} of {len(found)} rows are of another company",
    )


def _codes(answers: Answers, name: str) -> list[object]:
    return [] if not answers.has(name) else answers[name].column("Division")


CHECKS = (
    Check("code-padding", "Code of an account has 18 characters, blanks on the left", "3.3",
          ("page",), "nothing", code_padding),
    Check("text-padding", "Country has 3 characters, blanks on the right", "12.13", ("page",),
          "nothing", text_padding),
    Check("guids", "Guids have small letters and hyphens", "3.4", ("page",), "report", guids),
    Check("amounts", "Amounts are numbers in JSON", "3.4", ("bulk_lines", "lines"), "report",
          amounts),
    Check("division", "Every row is of the company that was asked", "6.5",
          ("page", "lines", "bulk_lines", "sync_lines", "deleted"), "report", division),
)  # fmt: skip
