"""The entities that a user selects, and the order in which they are read."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ConfigurationError
from .catalogue import Catalogue
from .parameters import reason_not_read

ABOUT_AS_CLOSE = 0.1  # of a name offered beside the nearest one; 1 is equal


def choose_entities(entities: str | Iterable[str] | None, catalogue: Catalogue) -> list[str]:
    """Names of the entities to select: the core set by default, ``all`` for every one that is read.

    Raises:
        ConfigurationError: If one is unknown; the message offers the nearest names.
    """
    if entities is None or entities == "core":
        return list(catalogue.core)
    if isinstance(entities, str):
        names = [n.strip() for n in entities.split(",") if n.strip()] or [entities]
    else:
        names = list(entities)
    if "all" in names:
        readable = (n for n, e in catalogue.entities.items() if reason_not_read(e) is None)
        return turn_order(readable, catalogue)
    for name in names:
        if name not in catalogue.entities:
            raise ConfigurationError(f"entities: {name!r} is unknown; {suggest(name, catalogue)}")
        if reason := reason_not_read(catalogue.entities[name]):
            raise ConfigurationError(f"entities: {name} is not read: {reason}")
    return turn_order(names, catalogue)


def turn_order(names: Iterable[str], catalogue: Catalogue) -> list[str]:
    """The order in which a company's streams are read: core before the rest, small before large.

    The core set is listed from small to large; of the others, lines are the largest and functions,
    which cost a call per parent row, go last.
    """
    core = {name: position for position, name in enumerate(catalogue.core)}

    def turn(name: str) -> tuple[bool, bool, int, str]:
        is_function = "function" in catalogue.entities[name].feeds
        is_long = name not in core and name.endswith(("_lines", "_entries"))
        return is_function, is_long, core.get(name, len(core)), name

    return sorted(dict.fromkeys(names), key=turn)


def suggest(name: str, catalogue: Catalogue) -> str:
    """What to use instead of an unknown name, for messages."""
    from difflib import SequenceMatcher, get_close_matches

    near = get_close_matches(name, catalogue.entities, n=1)
    if near:
        best = SequenceMatcher(None, near[0], name).ratio()
        near = get_close_matches(name, catalogue.entities, n=3, cutoff=best - ABOUT_AS_CLOSE)
    return f"did you mean {' or '.join(near)}?" if near else "see `exact-source entities`"
