"""Names of tables and columns, from Exact's names; what a column cannot be called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

_WORD = re.compile("([^_])([A-Z][a-z]+)")
_CAPITAL = re.compile("([a-z0-9])([A-Z])")
_PLAIN = re.compile("[a-z][a-z0-9]*(_[a-z0-9]+)*")
# Endings of columns that this source puts beside others.
BESIDE = ("_utc", "_raw")


@cache
def snake(name: str) -> str:
    """``GLAccountCode`` -> ``gl_account_code``: dlt's name for it, without importing dlt.

    dlt also maps punctuation, leading digits and trailing underscores; Exact's names have none of
    those, which a test checks for every field of the catalogue.
    """
    return _CAPITAL.sub(r"\1_\2", _WORD.sub(r"\1_\2", name)).lower()


def is_plain(name: str) -> bool:
    """Whether dlt takes a name of a table or a column as it is."""
    return _PLAIN.fullmatch(name) is not None


def why_no_column(field: str, others: Iterable[str]) -> str | None:
    """Why a new field cannot become a column beside those of ``others``; ``None`` if it can."""
    name = snake(field)
    if not is_plain(name):
        return "its name is none that a database takes as it is"
    names = {snake(other): other for other in others if other != field}
    if name in names:
        return f"its column would be called {name}, as that of {names[name]}"
    for ending in BESIDE:
        if name.endswith(ending) and name.removesuffix(ending) in names:
            return f"its column would be called {name}, as one that this source adds"
        if name + ending in names:
            return f"its column would be called {name}, beside which {name}{ending} is taken"
    return None
