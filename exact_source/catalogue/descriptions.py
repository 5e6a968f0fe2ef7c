"""What tables and columns hold, in words, and which columns point at the key of another table."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from .catalogue import Entity, load_catalogue

# Endings of columns that tell more of another column, and how.
ENDINGS = {
    "_code": "Code",
    "_description": "Description",
    "_full_name": "Name",
    "_name": "Name",
    "_number": "Number",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that holds the key of a row of another table, of the same division.

    Attributes:
        column: Of the table itself.
        table: That it points at.
        key: Column there.
    """

    column: str
    table: str
    key: str


@cache
def load_descriptions() -> Mapping[str, Any]:
    """``descriptions.toml``, read once."""
    return tomllib.loads(Path(__file__).with_name("descriptions.toml").read_text("utf-8"))


def describe_table(name: str) -> str | None:
    """What a row of a table is, in words of this source, or else what the catalogue warns of."""
    if (text := load_descriptions()["tables"].get(name)) is not None:
        return str(text)
    entity = load_catalogue().entities.get(name)
    return entity.grain if entity else None


def describe_columns(table: str, columns: Iterable[str]) -> dict[str, str]:
    """Column -> what it holds and what it points at; columns that nothing is known of are left out."""
    if table not in load_descriptions()["tables"]:
        return {}
    names = list(columns)
    texts = {name: text for name in names if (text := _describe(table, name)) is not None}
    for name in names:
        if name not in texts and (text := _by_ending(name, names)) is not None:
            texts[name] = text
    return texts


def _describe(table: str, column: str) -> str | None:
    known = load_descriptions()
    if column.endswith("_raw"):
        return f"{column.removesuffix('_raw')} with the spaces that Exact pads it with."
    text = _matching(known["columns"].get(table, {}), column) or _matching(known["common"], column)
    return text or OWN.get(column)


def _matching(texts: Mapping[str, str], column: str) -> str | None:
    if column in texts:
        return texts[column]
    patterns = (p for p in texts if ("*" in p or "?" in p) and fnmatchcase(column, p))
    return next((texts[pattern] for pattern in patterns), None)


def _by_ending(column: str, columns: Iterable[str]) -> str | None:
    """``gl_account_code`` says more of ``gl_account``, if there is such a column."""
    for ending, word in ENDINGS.items():
        base = column.removesuffix(ending)
        of = next((c for c in (base, f"{base}_id", f"{base}_code") if c in columns), column)
        if column not in {base, of}:
            return f"{word} of {of}."
    return None


# Columns that this source adds.
OWN = {
    "_synced_at": "When the row was read: a real instant, UTC.",
    "_deleted_at": "Since when the row is known to be gone; null: it is there.",
    "_extra": "What Exact sent and no column holds: a JSON object.",
    "_row": "Position of the row in the answer.",
    "created_utc": "When the row was made, as a real instant.",
    "modified_utc": "When the row was last changed, as a real instant.",
}


def references_of(entity: Entity) -> list[Reference]:
    """The columns of an entity that hold keys of other tables; the one that matters most first."""
    known: Mapping[str, Any] = load_descriptions()["references"]
    common = {name: target for name, target in known.items() if isinstance(target, str)}
    targets = common | known.get(entity.name, {})
    guids = {c.name for c in entity.columns.values() if c.letter == "g"}
    return [
        Reference(column, *target.split("."))
        for column, target in targets.items()
        if target and column in guids
    ]
