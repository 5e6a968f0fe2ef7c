"""Reads the tables of this folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from importlib import resources

Record = dict[str, str]


@cache
def table(name: str) -> tuple[Record, ...]:
    """All rows of ``<name>.csv``."""
    text = (resources.files(__package__) / f"{name}.csv").read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines()))


def of(name: str, company: str) -> Iterator[Record]:
    """The rows of a table that belong to a company, or to all of them (``*``)."""
    return (row for row in table(name) if row["company"] in {company, "*"})


def day(text: str) -> datetime:
    """A date as the sandbox stores it."""
    return datetime.fromisoformat(text)


def cents(text: str) -> int:
    """An amount in cents."""
    return round(float(text) * 100)
