"""Descriptions of tables and columns, and the references from columns to keys of other tables."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from .catalogue import Entity, load_catalogue

# End of the description of a hashed column.
HASHED = "Loaded as the HMAC-SHA-256 of the value."
# Ending of a column that describes another column -> how its description begins.
ENDINGS = {
    "_code": "Code",
    "_description": "Description",
    "_full_name": "Name",
    "_name": "Name",
    "_number": "Number",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A column with the key of a row of another table, in the same division.

    Attributes:
        column: Column of the referring table.
        table: Table that it refers to.
        key: Key column of that table.
    """

    column: str
    table: str
    key: str


@cache
def load_descriptions() -> Mapping[str, Any]:
    """``descriptions.toml``, read once."""
    return tomllib.loads(Path(__file__).with_name("descriptions.toml").read_text("utf-8"))


def describe_table(name: str) -> str | None:
    """Description of a table; without one, the catalogue's remark on the grain of its rows."""
    if (text := load_descriptions()["tables"].get(name)) is not None:
        return str(text)
    entity = load_catalogue().entities.get(name)
    return entity.grain if entity else None


def describe_columns(table: str, columns: Iterable[str]) -> dict[str, str]:
    """Column -> description, for the columns that have one."""
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
    """Description of a column such as ``gl_account_code`` by the column that it belongs to."""
    for ending, word in ENDINGS.items():
        base = column.removesuffix(ending)
        of = next((c for c in (base, f"{base}_id", f"{base}_code") if c in columns), column)
        if column not in {base, of}:
            return f"{word} of {of}."
    return None


# Columns that the source adds.
OWN = {
    "_synced_at": "Time at which the row was read, in UTC.",
    "_deleted_at": "Time at which the row was found to be deleted; null: it exists.",
    "_extra": "Values that Exact sent and that fit no column: a JSON object.",
    "_row": "Position of the row in the reply.",
    "created_utc": "Time at which the row was made, in UTC.",
    "modified_utc": "Time of the last change of the row, in UTC.",
}


def references_of(entity: Entity) -> list[Reference]:
    """The references of an entity, the most important first."""
    known: Mapping[str, Any] = load_descriptions()["references"]
    common = {name: target for name, target in known.items() if isinstance(target, str)}
    targets = common | known.get(entity.name, {})
    guids = {c.name for c in entity.columns.values() if c.type_code == "g"}
    return [
        Reference(column, *target.split("."))
        for column, target in targets.items()
        if target and column in guids
    ]
