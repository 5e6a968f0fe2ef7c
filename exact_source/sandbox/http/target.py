"""The parts of a URL after ``/api/v1/``: division, endpoint, key, and the part after the key."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHAPE = re.compile(
    r"(?P<beta>beta/)?(?:(?P<division>\d+)/)?(?P<path>[^()$]*[^()$/])"
    r"(?:\((?P<key>.*)\))?(?:/(?P<tail>\$?[A-Za-z]\w*))?/?"
)
WHOLE = re.compile(r"(\d+)/\$metadata")
SLASHES = re.compile("/{2,}")


@dataclass(frozen=True)
class Target:
    """The parts of a path.

    Attributes:
        path: Path of the endpoint, including ``beta/``.
        key: The text between parentheses, ``None`` without them.
        tail: ``$count``, ``$metadata``, or the name of a collection after the key.
    """

    division: int | None
    path: str
    key: str | None = None
    tail: str | None = None

    @property
    def text(self) -> str:
        """The path with its key and tail, without the division."""
        key = "" if self.key is None else f"({self.key})"
        return f"{self.path}{key}{'/' + self.tail if self.tail else ''}"


def parse_target(path: str) -> Target:
    """Parse the decoded path after ``/api/v1/``; any path is accepted, the catalogue decides.

    Repeated slashes count as one (API 12.3).
    """
    head, bracket, rest = path.partition("(")
    path = SLASHES.sub("/", head).lstrip("/") + bracket + rest
    if whole := WHOLE.fullmatch(path):
        return Target(int(whole[1]), "", tail="$metadata")
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
