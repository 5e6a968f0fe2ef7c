"""The arguments of the actions of ``/_sandbox/``: names, types and bounds, checked before any change."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any, NamedTuple

Arguments = Mapping[str, Any]


class Kind(NamedTuple):
    """The required form of a value: in words, and as a test."""

    words: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


TEXT = Kind("a text", lambda v: isinstance(v, str))
WHOLE = Kind("a whole number", _is_whole)
COUNT = Kind("a whole number, 0 or more", lambda v: _is_whole(v) and v >= 0)
NUMBER = Kind("a number", _is_number)
YES_OR_NO = Kind("true or false", lambda v: isinstance(v, bool))
PLAIN = Kind("a text, a number, true, false or null", lambda v: not isinstance(v, (dict, list)))
ROW = Kind(
    "an object of columns, none of which is an object or a list",
    lambda v: isinstance(v, dict) and all(PLAIN.fits(one) for one in v.values()),
)
KEY = Kind(
    "the value of the key, or a list of them",
    lambda v: (
        v is not None and (PLAIN.fits(v) or (isinstance(v, list) and all(map(PLAIN.fits, v))))
    ),
)
KEYS = Kind(
    "a list of keys", lambda v: v is None or (isinstance(v, list) and all(map(KEY.fits, v)))
)
STATUS_OR_WORD = Kind("a status or a word", lambda v: TEXT.fits(v) or _is_whole(v))
ANY = Kind("", lambda _: True)  # checked by the fault itself

AT = {"path": TEXT, "division": WHOLE}
# Required and optional arguments of each action.
SHAPES: dict[str, tuple[dict[str, Kind], dict[str, Kind]]] = {
    "insert": ({**AT, "row": ROW}, {}),
    "update": ({**AT, "key": KEY, "changes": ROW}, {}),
    "delete": ({**AT, "key": KEY}, {}),
    "touch": (AT, {"keys": KEYS, "modified": PLAIN}),
    "clock": ({}, {"set": TEXT, "advance": NUMBER, "frozen": YES_OR_NO}),
    "move_division": ({"division": WHOLE}, {}),
    "block_division": ({"division": WHOLE}, {"status": COUNT}),
    "consume": ({"division": WHOLE}, {"calls": COUNT}),
    "deny": ({"division": WHOLE}, {"path": TEXT, "how": TEXT}),
    "allow": ({"division": WHOLE}, {"path": TEXT}),
    "fault": (
        {"kind": STATUS_OR_WORD},
        dict.fromkeys(("path", "division", "times", "after", "probability", "seconds"), ANY),
    ),
    "clear_faults": ({}, {}),
    "login": ({}, {"user": TEXT}),
    "reset": ({}, {}),
}


def parse_arguments(action: str, body: bytes) -> Any:
    """The arguments in the body of a call; none if it is empty.

    Raises:
        ValueError: If it is not JSON.
    """
    try:
        return json.loads(body or b"{}")
    except ValueError:
        raise ValueError(f"{action} takes a JSON object; the body is not JSON") from None


def check_arguments(action: str, arguments: Any, divisions: Collection[int]) -> None:
    """Refuse arguments that the action does not accept.

    Raises:
        ValueError: The message names the argument and its required form.
    """
    if not isinstance(arguments, dict):
        raise ValueError(f"{action} takes a JSON object")  # noqa: TRY004 - all refusals are of one kind
    needed, optional = SHAPES[action]
    known = needed | optional
    if unknown := [name for name in arguments if name not in known]:
        raise ValueError(
            f"{action} takes {', '.join(known) or 'nothing'}; not {', '.join(unknown)}"
        )
    if missing := [name for name in needed if name not in arguments]:
        raise ValueError(f"{action} needs {' and '.join(missing)}")
    for name, value in arguments.items():
        if not known[name].fits(value):
            raise ValueError(f"{name} is {known[name].words}, not {value!r}")
    division = arguments.get("division")
    if division is not None:
        check_division(division, divisions)


def check_division(division: Any, divisions: Collection[int]) -> None:
    """Refuse an unknown division.

    Raises:
        ValueError: The message lists the divisions.
    """
    if division not in divisions:
        raise ValueError(f"division {division!r} is none of {', '.join(map(str, divisions))}")
