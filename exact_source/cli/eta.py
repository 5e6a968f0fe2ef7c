"""Estimates the time left of a running sync, without a call.

The number of remaining calls comes from earlier syncs or from ``exact-source plan``. It is converted to
seconds by Exact's limits and the pace of the sync so far.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..catalogue import load_catalogue
from ..catalogue.feeds import deletes_of, plan_feeds
from ..client.limits import HOUR_S, MINUTE_S
from ..engine.call_accounting import LISTS
from ..engine.key_sync import calls_for
from .plan.schedule import allowance_of, duration, share, usual_calls

if TYPE_CHECKING:
    from ..engine.cursors import Cursor
    from ..engine.run import Run
    from ._output.stored_syncs import Memory, Stream


@dataclass(frozen=True)
class TimeLeft:
    """The time that a running sync still takes.

    Attributes:
        seconds: Seconds until the end.
        days: Days on which it makes calls; 1 if it ends today.
        at_least: Whether it may take longer, because the calls of some streams are unknown.
    """

    seconds: float
    days: int = 1
    at_least: bool = False


@dataclass
class Estimate:
    """The time left of one sync.

    Attributes:
        run: The sync.
        memory: State of the destination, and counts of earlier plans, before the first round was loaded.
    """

    run: Run
    memory: Memory
    _expected: dict[Stream, int | None] = field(default_factory=dict)

    def now(self) -> TimeLeft | None:
        """The time left; ``None`` if nothing is known."""
        calls, known, unknown = self._calls_left()
        run, limits, now = self.run, self.run.limits, self.run.clock.now()
        if not known or not limits.calls:
            return None
        if limits.max_calls is not None:
            calls = Counter(share(calls, max(0, limits.max_calls - limits.calls)))
        contract = limits.contract
        if contract is not None:
            contract.roll(limits.server_time(now))
        try:
            by_limits = duration(
                calls,
                {code: allowance_of(limits, code) for code in calls},
                now=now,
                contract_cap=contract.limit if contract else None,
                contract_spent=contract.limit - contract.remaining if contract else 0,
            )
        except ValueError:
            return None  # no calls are allowed; the sync itself reports that
        by_pace = (now - run.started_at) / limits.calls * sum(calls.values())
        seconds = max(by_limits.ends_at - now, by_pace)
        deadline = run.rounds.deadline
        if deadline is not None and seconds >= deadline - now:
            return TimeLeft(max(0.0, deadline - now))
        return TimeLeft(seconds, max(1, by_limits.days), at_least=bool(unknown))

    def _calls_left(self) -> tuple[Counter[int], int, int]:
        """Division -> calls; and the numbers of streams whose calls are known and unknown."""
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
                if stream not in self._expected:
                    self._expected[stream] = self._expect(stream)
                to_come = (self._expected[stream] or 0) - made[stream]
                # A stream that has made all its calls is about to end.
                is_known = self._expected[stream] is not None and to_come >= 0
                calls[division.code] += to_come if is_known else 1
                known, unknown = known + is_known, unknown + (not is_known)
        return calls, known, unknown

    def _expect(self, stream: Stream) -> int | None:
        """Calls of a stream in this sync, according to earlier ones; ``None`` if unknown."""
        from ._output.stored_syncs import syncs_of_changes

        cursor, run = self.memory.cursors.get(stream), self.run
        if cursor is None:
            return self._counted(stream)
        is_new = stream[1] in run.options.full_refresh
        is_new = is_new and cursor.refreshed_for != run.refresh_asked_at
        if cursor.scan is not None and cursor.scan.since is None and not is_new:
            whole = cursor.pages or self._counted(stream) or 0
            return max(0, whole - cursor.scan.pages) or None  # continues a pass over all rows
        if cursor.column is None or is_new:
            return cursor.pages or None
        done = [sync.calls for sync in syncs_of_changes(self.memory.syncs.get(stream, []))]
        return usual_calls(done) + self._calls_for_keys(stream[1], cursor) if done else None

    def _counted(self, stream: Stream) -> int | None:
        """Calls of a first load, from the row count of a plan; ``None`` without a plan."""
        counted, options = self.memory.counted, self.run.options
        if stream not in counted.rows or counted.start_ms != options.start_ms:
            return None
        plan = plan_feeds(load_catalogue().entities[stream[1]], options.route)
        size = self.run.connection.adaptations.page_size(plan.full)
        return calls_for(counted.rows[stream], size)

    def _calls_for_keys(self, name: str, cursor: Cursor) -> int:
        """Calls of a comparison of all keys, if it is due."""
        options, entity = self.run.options, load_catalogue().entities[name]
        age_s, every_s = self.run.started_at - cursor.reconciled_at, options.reconcile_s
        is_due = every_s is not None and age_s >= every_s
        is_due = is_due and deletes_of(entity, cursor.column) == "keys"
        is_wanted = (is_due or name in options.reconcile) and options.deletes != "ignore"
        return cursor.pages if is_wanted and cursor.pages > 1 else 0


def in_words(left: TimeLeft | None) -> str:
    """The time left as text; empty if it is unknown or under a minute and uncertain."""
    if left is None:
        return ""
    least = "at least" if left.at_least else "about"
    if left.days > 1:
        return f"{least} {left.days} days left"
    minutes = int(left.seconds // MINUTE_S if left.at_least else -(-left.seconds // MINUTE_S))
    hours, rest = divmod(minutes, HOUR_S // MINUTE_S)
    span = f"{hours} h {rest} min" if hours else f"{minutes} min"
    return f"{least} {span} left" if minutes else ""


def as_facts(left: TimeLeft | None) -> dict[str, Any]:
    """The time left as values for JSON; empty if it is unknown."""
    if left is None:
        return {}
    return {"left_s": round(left.seconds), "left_days": left.days, "left_at_least": left.at_least}
