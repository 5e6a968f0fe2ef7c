"""Names of tables and columns from Exact's names, and the names that a column cannot have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

_WORD = re.compile("([^_])([A-Z][a-z]+)")
_CAPITAL = re.compile("([a-z0-9])([A-Z])")
_PLAIN = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Endings of columns that the source derives from other columns.
BESIDE = ("_utc", "_raw")


@cache
def snake(name: str) -> str:
    """``GLAccountCode`` -> ``gl_account_code``: the name that dlt gives, without importing dlt.

    dlt also maps punctuation, leading digits and trailing underscores. Exact's names have none of them;
    a test checks that for every field of the catalogue.
    """
    return _CAPITAL.sub(r"\1_\2", _WORD.sub(r"\1_\2", name)).lower()


def is_plain(name: str) -> bool:
    """Whether dlt keeps the name of a table or a column unchanged."""
    return _PLAIN.fullmatch(name) is not None


def why_no_column(field: str, others: Iterable[str]) -> str | None:
    """Why a new field cannot become a column in addition to the fields ``others``; ``None`` if it can."""
    name = snake(field)
    if not is_plain(name):
        return "its name is not a plain column name"
    names = {snake(other): other for other in others if other != field}
    if name in names:
        return f"its column would be called {name}, like the column of {names[name]}"
    for ending in BESIDE:
        if name.endswith(ending) and name.removesuffix(ending) in names:
            return f"its column would be called {name}, like a column that the source adds"
        if name + ending in names:
            return f"its column would be called {name}, and {name}{ending} is taken already"
    return None
