"""Which streams a run reads if ``max_calls`` or ``contract_cap`` leave too few calls for all of them.

Those that were asked longest ago go first. Otherwise each run would spend its calls on the same streams, and
the others would never be read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..catalogue import load_catalogue
from ..catalogue.feeds import plan_feeds
from ..catalogue.parameters import sends_parameters
from ..client.limits import Limits
from ..clock import Clock
from ..errors import LimitError
from ..options import Options
from .call_accounting import LISTS
from .cursors import Cursor, is_denied, last_asked
from .divisions import Divisions

UNREAD = Cursor(column=None)
# Entity -> division -> cursor of the last completed load; all entities of a run, in their order.
Cursors = Mapping[str, Mapping[int, Cursor]]


class Turns:
    """The streams of a run that may begin.

    Args:
        options: The user's options.
        limits: Call limits.
        clock: Clock.
        divisions: The divisions of the run; their list has been read before the first stream begins.
    """

    def __init__(
        self, options: Options, limits: Limits, clock: Clock, divisions: Divisions
    ) -> None:
        self._options = options
        self._limits = limits
        self._clock = clock
        self._divisions = divisions
        self._cursors: Callable[[], Cursors] = dict
        # Functions begin after their parents, so they share the calls that those leave.
        self._later: dict[bool, frozenset[tuple[str, int]]] = {}

    def recall(self, cursors: Callable[[], Cursors]) -> None:
        """Set the function that returns the cursors of earlier runs."""
        self._cursors = cursors

    def raise_if_later(self, entity: str, division: int) -> None:
        """Called before a stream begins.

        Raises:
            LimitError: If the calls left are for streams that were asked longer ago.
        """
        left = self._limits.left_in_all(self._clock.now())
        if left is None:
            return
        is_function = self._is_function(entity)
        if is_function not in self._later:
            streams = self._in_order(is_function=is_function)
            self._later[is_function] = frozenset(_beyond(left.calls, streams))
        if (entity, division) in self._later[is_function]:
            raise LimitError(
                f"{entity} of division {division}: left for the next sync, because {left.option} "
                "allows fewer calls than there are tables to read",
                resumes_at=left.resumes_at,
            )

    def _in_order(self, *, is_function: bool) -> list[tuple[str, int]]:
        """The streams that will make calls."""
        cursors, notices, now = self._cursors(), self._options.notices, self._clock.now()
        asked: dict[tuple[str, int], float] = {}
        lists = {n for n in cursors if n in LISTS or load_catalogue().entities[n].division_from}
        names = [n for n in cursors if n not in lists and self._is_function(n) == is_function]
        for division in self._divisions.chosen_so_far:
            for name in () if division.blocked else names:
                cursor = cursors[name].get(division.code, UNREAD)
                is_changed = notices is None or (name, division.code) in notices
                if is_changed and not is_denied(cursor, now):
                    asked[name, division.code] = last_asked(cursor)
        return sorted(asked, key=lambda stream: asked[stream])

    def _is_function(self, name: str) -> bool:
        entity = load_catalogue().entities[name]
        return sends_parameters(plan_feeds(entity, self._options.route).full)


def _beyond(calls: int, streams: list[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    """The streams that are not among the first for which the calls suffice."""
    divisions: set[int] = set()
    for place, (entity, division) in enumerate(streams):
        # One page, and the tombstones before the first page of a division.
        calls -= 1 if division in divisions else 2
        divisions.add(division)
        if calls < 0 and place:
            yield entity, division
