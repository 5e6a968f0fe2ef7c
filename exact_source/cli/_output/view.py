"""How much of a result is shown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """How much of a result is shown.

    Attributes:
        every: A line for each stream instead of one for each entity.
        problems: Only the streams with a problem.
        as_json: One JSON document.
    """

    every: bool = False
    problems: bool = False
    as_json: bool = False
