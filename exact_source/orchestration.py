"""For orchestrators: groups of divisions, the sync of one group, and what to do after it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import dlt
from dlt.pipeline.exceptions import PipelineStepFailed

from .auth import storage_from_settings
from .catalogue import choose_entities, load_catalogue
from .clock import Clock, SystemClock
from .connect import make_read_only_run
from .driver_errors import describe_load, without_job_reports
from .engine.result import describe_excluded
from .errors import (
    ConfigurationError,
    ExactError,
    ExitCode,
    LeaseStoreError,
    LimitError,
    LoadError,
    RemoteError,
    TokenStoreError,
    TooFewCallsError,
    is_interrupt,
)
from .loading.warehouse import Warehouse
from .options import ROUND_ROWS, ROUND_S
from .settings import Settings, load_settings
from .source import make_options, make_run
from .sync.outcome import Outcome
from .sync.runner import sync
from .workers.leases import leases_from_settings

# A sync costs at least one call per stream, so failed streams are not retried immediately.
PAUSE_S = 600.0
# If another worker holds the lease, no call was sent. The holder renews its lease, so the end of the
# lease is always near and too early as a time to retry.
HELD_PAUSE_S = 60.0
# Name of a pipeline for a group of ``division_groups``.
_OF_A_GROUP = re.compile(r"(?P<front>.*?)\d+_of_(?P<groups>\d+)")
# How often failed streams are retried once the others are loaded: they may fail for months.
MOST_REPEATS = 1


@dataclass(frozen=True)
class Advice:
    """What to do after a sync.

    Attributes:
        action: ``done``; ``again``: not an error, run it again at ``at``; ``retry``: an error that may
            be temporary, retry a few times; ``fail``: an error that needs human action.
        reason: Reason in one line; empty if there is no problem.
        at: When to run again; seconds since the epoch, UTC; only for ``again``.
    """

    action: Literal["done", "again", "retry", "fail"]
    reason: str = ""
    at: float | None = None


def advise(outcome: Outcome, now: float, *, repeats: int = 0) -> Advice:
    """What to do after a sync with this outcome.

    Streams that Exact refuses (because the company lacks a module, for example) make a sync incomplete,
    but running it again changes nothing. If all other streams are loaded, the advice is ``done`` with a
    reason. The same applies to streams that failed twice: the next scheduled sync retries them.

    Args:
        outcome: Outcome of the sync.
        now: Seconds since the epoch, UTC.
        repeats: How often the sync has already been run again.
    """
    if outcome.error is not None:
        return advise_error(
            outcome.error, now, resumes_at=outcome.resumes_at, loaded=outcome.rounds
        )
    lacking = [r for r in outcome.results if r.status not in {"complete", "skipped"}]
    if not lacking:  # but companies may be blocked
        return Advice("done", "; ".join(describe_excluded(outcome.results)))
    reasons = [r.error for r in lacking if r.error and not r.is_excluded]
    reason = "; ".join(dict.fromkeys([*reasons, *describe_excluded(lacking)]))
    passing = [r for r in lacking if not r.permanent]
    if outcome.exit_code in {ExitCode.COMPLETE, ExitCode.INCOMPLETE}:
        going_on = [r for r in passing if r.status != "failed" or repeats < MOST_REPEATS]
        if not going_on:
            return Advice("done", reason)
        soonest = min(r.resumes_at or 0.0 for r in going_on)
        return Advice("again", reason, max(soonest, now + PAUSE_S))
    return Advice("retry" if passing else "fail", reason)


def advise_error(
    error: ExactError, now: float, *, resumes_at: float | None = None, loaded: int = 0
) -> Advice:
    """What to do after an error that ended the sync; ``loaded`` is the number of loaded rounds."""
    passes = isinstance(error, RemoteError | TokenStoreError | LeaseStoreError | LoadError)
    if isinstance(error, LimitError) and not passes and not isinstance(error, TooFewCallsError):
        at = error.resumes_at if resumes_at is None else resumes_at
        return Advice("again", str(error), max(at, now + (PAUSE_S if loaded else HELD_PAUSE_S)))
    return Advice("retry" if passes else "fail", str(error))


def division_groups(divisions: Iterable[int], groups: int) -> dict[str, list[int]]:
    """Divisions by group name; each group is one pipeline and one task.

    A division stays in its group when others are added or removed, because the group's pipeline stores
    its cursors.
    """
    found: dict[str, list[int]] = {}
    for code in sorted(divisions):
        found.setdefault(f"{code % groups}_of_{groups}", []).append(code)
    return found


def open_divisions(clock: Clock | None = None, settings: Settings | None = None) -> list[int]:
    """Codes of the divisions that the app can see and that are not blocked.

    Takes two calls, and one more for each further 60 companies. With leases, the list is read
    through a division that no worker holds.

    Args:
        clock: Clock, for tests.
        settings: Connection settings; default: those of dlt's configuration providers.

    Raises:
        ExactError: If the settings are wrong or the list cannot be read.
    """
    settings = settings or load_settings()
    leases = leases_from_settings(settings)
    run = make_read_only_run(
        make_options(),
        settings,
        storage_from_settings(settings),
        clock or SystemClock(),
        leases=leases,
    )

    async def ask() -> list[int]:
        async with run.connected():
            return [
                division.code for division in await run.divisions.chosen() if not division.blocked
            ]

    with leases or nullcontext():
        if leases is not None:
            run.divisions.recall(leases.free_divisions)
        return asyncio.run(ask())


def sync_divisions(
    pipeline: dlt.Pipeline,
    divisions: Iterable[int],
    entities: str | Iterable[str] | None = None,
    *,
    max_minutes: float | None = None,
    regroup: bool = False,
    settings: Settings | None = None,
    clock: Clock | None = None,
    **options: Any,
) -> Outcome:
    """Sync some divisions.

    Args:
        pipeline: Pipeline for this group of divisions only.
        divisions: Division codes.
        entities: Entity names; default: the core set.
        max_minutes: Stop after this many minutes; the next sync continues there.
        regroup: Allow a different number of groups than before; everything is then read again.
        settings: Connection settings; default: those of dlt's configuration providers.
        clock: Clock, for tests.
        options: Further options of ``exact_online``: ``route``, ``deletes``, ``start_date`` and so on.

    Raises:
        ConfigurationError: If a setting is missing or wrong, or the number of groups has changed.
    """
    settings = settings or load_settings()
    chosen = choose_entities(entities, load_catalogue())
    run = make_run(
        make_options(
            divisions=divisions, round_rows=ROUND_ROWS, round_s=ROUND_S, clock=clock, **options
        ),
        settings,
        storage_from_settings(settings, pipeline),
        clock=clock,
        leases=leases_from_settings(settings),
    )
    if max_minutes is not None:
        run.rounds.stop_by(run.clock.now() + max_minutes * 60)

    def begin(round_number: int) -> None:
        if round_number == 1 and not regroup:
            refuse_other_groups(pipeline)

    try:
        with without_job_reports():
            return sync(pipeline, run, chosen, on_round=begin)
    except PipelineStepFailed as failure:
        if is_interrupt(failure):
            raise
        # An orchestrator would log dlt's message, which quotes rows.
        error = LoadError(f"{pipeline.pipeline_name}: the sync failed: {describe_load(failure)}")
        return Outcome([], run.rounds.number, run.limits.calls, error)


def refuse_other_groups(pipeline: dlt.Pipeline) -> None:
    """Refuse a new pipeline whose divisions were loaded by pipelines of another number of groups.

    Those pipelines store the cursors. A pipeline that has loaded before is accepted, and so is one whose
    name does not come from ``division_groups``.

    Raises:
        ConfigurationError: If the pipeline is new and the dataset was loaded with another number of groups.
    """
    own = _OF_A_GROUP.fullmatch(pipeline.pipeline_name)
    if own is None:
        return
    stored = Warehouse(pipeline)
    try:
        known = stored.pipelines()
    finally:
        stored.close()
    if pipeline.pipeline_name in known:
        return
    matches = [match for name in known if (match := _OF_A_GROUP.fullmatch(name))]
    before = {int(m["groups"]) for m in matches if m["front"] == own["front"]}
    if before and int(own["groups"]) not in before:
        numbers = " or ".join(map(str, sorted(before)))
        raise ConfigurationError(
            f"dataset {pipeline.dataset_name} was loaded in {numbers} groups of divisions, not in "
            f"{own['groups']}, and each group has its own cursors: set that number again, or "
            "set regroup=True to read all divisions again"
        )
