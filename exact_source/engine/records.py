"""Frozen dataclasses: copies with other values, and their fields in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
_KEY = "key"
NOT_STORED = {_KEY: ""}  # metadata of a field that is not part of the JSON


def replace(record: T, **changes: Any) -> T:
    """A copy with some fields changed, or the record itself if none of them differs.

    It is faster than ``dataclasses.replace``, because a cursor has dozens of fields and is replaced a dozen
    times for each call.

    Args:
        record: A frozen dataclass without slots and without ``__post_init__``.
        changes: Field -> value.

    Raises:
        TypeError: If there is no such field.
    """
    if changes.items() <= record.__dict__.items():
        return record
    if unknown := changes.keys() - record.__dict__.keys():
        raise TypeError(f"{type(record).__name__} has no field {', '.join(sorted(unknown))}")
    copy = object.__new__(type(record))
    object.__setattr__(copy, "__dict__", dict(record.__dict__, **changes))
    return copy


def stored_as(key: str) -> Mapping[str, str]:
    """Metadata of a field: its key in JSON, which is its name in an earlier version."""
    return {_KEY: key}


@cache
def stored_fields(kind: type) -> tuple[tuple[str, str, Any], ...]:
    """Name, key in JSON, and default of each field of a dataclass that is part of its JSON."""
    found = ((f.name, f.metadata.get(_KEY, f.name), f.default) for f in fields(kind))
    return tuple((name, key, default) for name, key, default in found if key)


def split_known(state: Mapping[str, Any], kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values by the fields of a dataclass, and values by keys that only a newer version knows."""
    known = _names(kind)
    plain = {known[key]: value for key, value in state.items() if key in known}
    return plain, {key: value for key, value in state.items() if key not in known}


@cache
def _names(kind: type) -> Mapping[str, str]:
    return {key: name for name, key, _ in stored_fields(kind)}
