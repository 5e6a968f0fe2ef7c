"""What a URL behind ``/api/v1/`` names: division, endpoint, key, and what is wanted of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHAPE = re.compile(
    r"(?P<beta>beta/)?(?:(?P<division>\d+)/)?(?P<path>[^()$]*[^()$/])"
    r"(?:\((?P<key>.*)\))?(?:/(?P<tail>\$?[A-Za-z]+))?/?"
)


@dataclass(frozen=True)
class Target:
    """The parts of a path.

    Attributes:
        path: Endpoint path as the catalogue spells it, ``beta/`` in front where it belongs.
        key: The text between parentheses, ``None`` without them.
        tail: ``$count``, ``$metadata`` or the lines of a header behind the key.
    """

    division: int | None
    path: str
    key: str | None = None
    tail: str | None = None

    @property
    def text(self) -> str:
        """The path as it was asked for, without the division."""
        key = "" if self.key is None else f"({self.key})"
        return f"{self.path}{key}{'/' + self.tail if self.tail else ''}"


def parse_target(path: str) -> Target:
    """Read the decoded path behind ``/api/v1/``; anything is accepted, the catalogue decides."""
    match = SHAPE.fullmatch(path)
    if match is None:
        return Target(None, path)
    division = match["division"]
    name, tail = match["path"], match["tail"]
    if tail is not None and not tail.startswith("$") and match["key"] is None:
        name, tail = f"{name}/{tail}", None
    return Target(
        division=None if division is None else int(division),
        path=f"{match['beta'] or ''}{name}",
        key=match["key"],
        tail=tail,
    )
