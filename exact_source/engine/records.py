"""Frozen dataclasses: copies with other values, and their fields in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def replace(record: T, **changes: Any) -> T:
    """A copy with some fields changed: a faster ``dataclasses.replace``.

    A cursor has dozens of fields and is replaced a dozen times for each call.

    Args:
        record: A frozen dataclass without slots and without ``__post_init__``.
        changes: Field -> value.

    Raises:
        TypeError: If there is no such field.
    """
    if unknown := changes.keys() - record.__dict__.keys():
        raise TypeError(f"{type(record).__name__} has no field {', '.join(sorted(unknown))}")
    copy = object.__new__(type(record))
    copy.__dict__.update(record.__dict__, **changes)
    return copy


def split_known(state: Mapping[str, Any], kind: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a dataclass, and those that only a newer version knows."""
    known = _names(kind)
    if state.keys() <= known:
        return dict(state), {}
    plain = {name: value for name, value in state.items() if name in known}
    return plain, {name: value for name, value in state.items() if name not in known}


@cache
def _names(kind: type) -> frozenset[str]:
    return frozenset(name for name, _ in fields_of(kind))


@cache
def fields_of(
    kind: type, *, except_for: frozenset[str] = frozenset()
) -> tuple[tuple[str, Any], ...]:
    """Name and default of each field of a dataclass."""
    return tuple((f.name, f.default) for f in fields(kind) if f.name not in except_for)
