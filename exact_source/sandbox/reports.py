"""Endpoints whose rows are worked out from others when they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .catalogue import Row
from .divisions import all_divisions, hrm_divisions, me, recent_divisions
from .state import State

Report = Callable[[State, int, dict[str, Any]], list[Row]]

REPORTS: Mapping[str, Report] = {
    "all_divisions": all_divisions,
    "hrm_divisions": hrm_divisions,
    "get_most_recently_used_divisions": recent_divisions,
    "me": me,
}
