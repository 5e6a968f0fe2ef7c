"""How long a sync that is under way still takes, by what its streams took before, or a plan counted.

No call is made.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..catalogue import load_catalogue
from ..catalogue.feeds import deletes_of, plan_feeds
from ..client.limits import HOUR_S, MINUTE_S
from ..engine.call_accounting import LISTS
from ..engine.key_sync import calls_for
from .plan.schedule import TimeLeft, allowance_of, share, time_left, usual_calls

if TYPE_CHECKING:
    from ..engine.cursors import Cursor
    from ..engine.run import Run
    from ._output.stored_syncs import Memory, Stream

# Calls of a division after which they tell how fast it answers.
PACE_CALLS = 10


@dataclass
class Estimate:
    """What is left of one sync.

    Attributes:
        run: The sync.
        memory: What was known before its first round was loaded.
    """

    run: Run
    memory: Memory
    _usual: dict[Stream, int | None] = field(default_factory=dict)
    _waits_until: dict[int, float] = field(default_factory=dict)
    _waited_s: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))

    def note_wait(self, division: int, until: float) -> None:
        """A stream of a division does not go on before; seconds since the epoch, UTC."""
        before = self._waits_until.get(division, 0.0)
        since = max(before, self.run.clock.now())
        self._waits_until[division] = max(before, until)
        self._waited_s[division] += max(0.0, until - since)

    def now(self) -> TimeLeft | None:
        """The time left; ``None`` if nothing is known of any stream, or of how fast calls are."""
        calls, known, unknown = self._calls_left()
        if not known:
            return None
        run, limits, now = self.run, self.run.limits, self.run.clock.now()
        if limits.max_calls is not None:
            calls = share(calls, max(0, limits.max_calls - limits.calls))
        if (contract := limits.contract) is not None:
            contract.roll(limits.server_time(now))
        try:
            left = time_left(
                calls,
                {code: allowance_of(limits, code, now) for code in calls},
                now=now,
                paces={code: self._pace_s(code, now) for code in calls},
                contract_cap=contract.limit if contract else None,
                contract_spent=contract.limit - contract.remaining if contract else 0,
            )
        except ValueError:
            return None  # no call is allowed at all; the sync says so itself
        seconds = max([left.seconds, *(until - now for until in self._waits_until.values())])
        if run.rounds.stop_at is not None and seconds >= run.rounds.stop_at - now:
            return TimeLeft(max(0.0, run.rounds.stop_at - now))
        return replace(left, seconds=seconds, at_least=bool(unknown)) if seconds else None

    def _pace_s(self, division: int, now: float) -> float:
        """Seconds that a call takes without the waits; 0 before that can be told."""
        state = self.run.limits.divisions.get(division)
        if state is None or state.calls < PACE_CALLS:
            return 0.0
        until = max(now, self._waits_until.get(division, 0.0))
        return max(0.0, until - self.run.started_at - self._waited_s[division]) / state.calls

    def _calls_left(self) -> tuple[dict[int, int], int, int]:
        """Division -> calls; and of how many streams that is known, and of how many it is not."""
        run = self.run
        made: Counter[Stream] = Counter()
        ended = set()
        for result in list(run.log.results):
            made[result.division, result.entity] += result.calls
            if result.status not in {"running", "incomplete"}:
                ended.add((result.division, result.entity))
        calls: Counter[int] = Counter()
        known = unknown = 0
        for division in run.divisions.chosen_so_far:
            if division.blocked:
                continue
            for entity in run.selection.names.difference(LISTS):
                stream = (division.code, entity)
                if stream in ended or run.rounds.is_settled(entity, division.code):
                    continue
                to_come = (self._usual_of(stream) or 0) - made[stream]
                calls[division.code] += max(1, to_come)
                known, unknown = known + (to_come > 0), unknown + (to_come <= 0)
        return calls, known, unknown

    def _usual_of(self, stream: Stream) -> int | None:
        if stream not in self._usual:
            self._usual[stream] = self._look_up(stream)
        return self._usual[stream]

    def _look_up(self, stream: Stream) -> int | None:
        """Calls that this sync of a stream takes by those of earlier ones; ``None``: nobody knows."""
        from ._output.stored_syncs import syncs_of_changes

        cursor, run = self.memory.cursors.get(stream), self.run
        if cursor is None:
            return self._counted(stream)
        is_anew = stream[1] in run.options.full_refresh
        is_anew = is_anew and cursor.refreshed_for != run.refresh_asked_at
        if cursor.scan is not None and cursor.scan.since is None and not is_anew:
            whole = cursor.pages or self._counted(stream) or 0
            return max(0, whole - cursor.scan.pages) or None  # goes on with a pass over all
        if cursor.column is None or is_anew:
            return cursor.pages or None
        done = [sync.calls for sync in syncs_of_changes(self.memory.syncs.get(stream, []))]
        return usual_calls(done) + self._calls_for_keys(stream[1], cursor) if done else None

    def _counted(self, stream: Stream) -> int | None:
        """Calls that a first load takes by the rows that a plan counted; ``None``: none has."""
        counted, options = self.memory.counted, self.run.options
        if stream not in counted.rows or counted.start_ms != options.start_ms:
            return None
        plan = plan_feeds(load_catalogue().entities[stream[1]], options.route)
        return calls_for(counted.rows[stream], plan.full.page_size)

    def _calls_for_keys(self, name: str, cursor: Cursor) -> int:
        """What it takes to compare all keys, if that is due."""
        options, entity = self.run.options, load_catalogue().entities[name]
        every_s = math.inf if options.reconcile_s is None else options.reconcile_s
        is_time = self.run.started_at - cursor.reconciled_at >= every_s
        is_due = is_time and deletes_of(entity, cursor.column) == "keys"
        is_wanted = (is_due or name in options.reconcile) and options.deletes != "ignore"
        # A list of one page is read whole anyway.
        return cursor.pages if is_wanted and cursor.pages > 1 else 0


def in_words(left: TimeLeft | None) -> str:
    """The time left for people; empty if there is nothing honest to say."""
    if left is None:
        return ""
    minutes = int(left.seconds // MINUTE_S if left.at_least else -(-left.seconds // MINUTE_S))
    if not minutes and left.days == 1:
        return ""
    hours, rest = divmod(minutes, HOUR_S // MINUTE_S)
    span = f"{hours} h {rest} min" if hours else f"{minutes} min"
    later = f" today, then {left.days - 1} more day(s)" if left.days > 1 else ""
    return f"{'at least' if left.at_least else 'about'} {span} left{later}"


def as_facts(left: TimeLeft | None) -> dict[str, Any]:
    """The same for machines; nothing where nothing is known."""
    if left is None:
        return {}
    return {"left_s": round(left.seconds), "left_days": left.days, "left_at_least": left.at_least}
