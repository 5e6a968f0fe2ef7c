"""``exact-source sync``: rounds of extract and load until everything is read or a limit is reached."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.pipeline import LoadInfo
from dlt.destinations.exceptions import DatabaseException
from dlt.extract.source import DltSource
from dlt.pipeline.exceptions import PipelineStepFailed

from ..engine.result import StreamResult
from ..engine.run import Run
from ..errors import (
    ConfigurationError,
    ExactError,
    HeldError,
    LoadError,
    own_error,
)
from ..loading.comments import schema_version, write_comments
from ..loading.disk_space import full_disk_error, refuse_full_disk
from ..loading.duplicates import repair_loaded, repair_unchecked
from ..loading.failed_jobs import refuse_silent_failures
from ..loading.indexes import create_indexes
from ..loading.overtaken import are_overtaken
from ..loading.session import PATIENCE_S, Session
from ..loading.tuning import choose_file_formats
from ..loading.working_folder import make_private, remove_loaded_packages
from ..loading.writer_lock import Lock, sole_writer
from ..source import run_of, run_source
from ..workers.leases import SqlLeases
from .outcome import Outcome, clock_notes, outcome_of
from .pipeline_lock import drop_if_destination_changed, duckdb_kept_open, pipeline_lock
from .telemetry import traced_sync

Loading = Callable[[], AbstractContextManager[None]]  # entered for the duration of a load

logger = logging.getLogger(__name__)

LOAD_PATIENCE_S = 3600.0  # how long a load waits for the loads of other workers
# Work on changed tables, and the note if the database refuses it.
AFTERWARDS = (
    (write_comments, "the comments of tables and columns were not written"),
    (create_indexes, "the indexes of tables were not made"),
)


def run_to_end(pipeline: dlt.Pipeline, source: DltSource) -> Outcome:
    """Run a source in as many rounds as needed, until everything is read or a limit is reached.

    ``pipeline.run(source)`` is one round, which may end before everything is read. This function runs all
    rounds, and creates the same indexes and comments as ``exact-source sync``.

    Args:
        pipeline: A dlt pipeline.
        source: The source from ``exact_online(...)``, with its resources selected and adapted.

    Returns:
        The outcome. Errors of Exact Online are in it, not raised: a script ends with its ``exit_code``.

    Raises:
        PipelineStepFailed: If the destination or dlt failed; the next run reads the last round again.
        DatabaseException: If the Postgres user may not create tables; no call was made.
    """
    outcome = _sync(pipeline, run_of(source), list(source.selected_resources), lambda: source)
    if outcome.exit_code:  # a script that ignores the outcome must not be silent
        logger.warning("%s", "; ".join(str(outcome).splitlines()))
    return outcome


def sync(
    pipeline: dlt.Pipeline,
    run: Run,
    entities: Sequence[str],
    *,
    on_round: Callable[[int], None] = lambda _number: None,
) -> Outcome:
    """Read and load one round after another until every stream has ended.

    Each round is one load package: rows, cursors and outcomes commit together, so a process that is
    killed loses at most one round.

    Without leases, the dataset is locked from beginning to end. With leases, a pipeline or division that
    another worker holds is skipped; the outcome is incomplete, with the time at which it may be free.

    Args:
        pipeline: The pipeline.
        run: The run, from ``make_run``.
        entities: Names of the entities to read.
        on_round: Called before each round with its number, from 1.
    """
    session = Session(run)
    return _sync(pipeline, run, entities, lambda: run_source(session, list(entities)), on_round)


def _sync(
    pipeline: dlt.Pipeline,
    run: Run,
    names: Sequence[str],
    make_source: Callable[[], DltSource],
    on_round: Callable[[int], None] = lambda _number: None,
) -> Outcome:
    try:
        refuse_silent_failures(pipeline)  # before packages of an earlier process are loaded
        refuse_refresh(pipeline)
    except ConfigurationError as reason:
        return Outcome([], 0, run.limits.calls, reason)
    error: ExactError | None = None
    notes: list[str] = []
    try:
        with working_on(pipeline, run) as loading:
            version = schema_version(pipeline)
            load_pending(pipeline, loading)
            notes += repair_unchecked(pipeline, names, run.options.divisions, loading)
            read_in_rounds(pipeline, run, make_source, on_round, loading)
            error = run.rounds.fatal
            if schema_version(pipeline) != version:
                notes += finish_tables(pipeline)
            notes += repair_loaded(pipeline, loaded_divisions(run.log.results), names, loading)
    except (HeldError, LoadError) as reason:
        error = reason
    except PipelineStepFailed as failure:
        error = own_error(failure) or full_disk_error(failure, pipeline.dataset_name)
        if error is None:
            raise
    notes += clock_notes(run.limits.skew_s)
    return outcome_of(run, error, notes)


def refuse_refresh(pipeline: dlt.Pipeline) -> None:
    """Refuse dlt's ``refresh``, with which each round would drop the rows of the previous one.

    Raises:
        ConfigurationError: If the pipeline has that setting.
    """
    if pipeline.refresh is not None:
        raise ConfigurationError(
            f"dlt's refresh is {pipeline.refresh}: each round of a sync would drop what the one before it "
            "loaded; remove it, and use --full-refresh or full_refresh=True"
        )


def finish_tables(pipeline: dlt.Pipeline) -> Iterator[str]:
    """Write comments and create indexes.

    Yields:
        A note for each that the database refused; the database user may not own the tables.
    """
    for work, refused in AFTERWARDS:
        try:
            work(pipeline)
        except DatabaseException as error:
            yield f"{refused} ({type(error).__name__})"


def read_in_rounds(
    pipeline: dlt.Pipeline,
    run: Run,
    make_source: Callable[[], DltSource],
    on_round: Callable[[int], None],
    loading: Loading,
) -> None:
    """Read and load one round after another until there is nothing left to read."""
    with traced_sync() as trace:
        going_on = True
        while going_on:
            run.begin_round()
            on_round(run.rounds.number)
            before = len(run.log.results)
            loaded = False
            try:
                load_round(pipeline, make_source(), loading)
                loaded = True
            finally:
                trace(run.log.results[before:], loaded)
            going_on = run.rounds.go_on(run.log.results[before:])
            if going_on:
                # dlt's errors about missing settings keep frames with rows alive.
                gc.collect()


@contextmanager
def working_on(pipeline: dlt.Pipeline, run: Run) -> Iterator[Loading]:
    """Lock the pipeline and its dataset, and prepare the working folder and the destination.

    Yields:
        A context manager for each load. Without leases the dataset is locked from beginning to end.

    Raises:
        HeldError: If another process works on the pipeline or loads into the dataset.
        LoadError: If the destination cannot be reached.
        DatabaseException: If the database user may not create tables.
    """
    leases, now = run.leases, run.clock.now()
    with ExitStack() as opened:
        opened.enter_context(pipeline_lock(pipeline, now))
        if leases is None:
            wait_s = PATIENCE_S if run.options.window else 0.0
            lock = opened.enter_context(sole_writer(pipeline, now, wait_s=wait_s))
            loading = partial(confirmed_load, lock)
        else:
            opened.enter_context(sole_worker(pipeline, leases))
            loading = partial(turn_to_load, pipeline, leases, now)
        drop_if_destination_changed(pipeline)
        refuse_full_disk(pipeline)
        opened.callback(make_private, pipeline)
        opened.enter_context(duckdb_kept_open(pipeline, now))
        choose_file_formats(pipeline)
        restore_state(pipeline)
        if leases is None:
            try_first_table(pipeline)
        yield loading


@contextmanager
def sole_worker(pipeline: dlt.Pipeline, leases: SqlLeases) -> Iterator[None]:
    """Hold the lease of the pipeline, and continue where the last worker stopped, whatever its host.

    Raises:
        HeldError: If another worker holds the pipeline.
    """
    with leases, leases.held(f"pipeline {pipeline.pipeline_name}"):
        # Another host may have continued since this working folder was written, and a package left in it was
        # read under a lease that has ended.
        pipeline.drop()
        yield


def restore_state(pipeline: dlt.Pipeline) -> None:
    """Load the state of the destination if it is newer, as ``pipeline.run`` does.

    Waiting packages are dropped if the dataset was loaded into since they were read: they would overwrite
    newer rows. The restored cursors lead to all later changes.

    If an earlier process was stopped while it dropped packages, the rest of them are dropped first. Otherwise
    dlt would do that during the next load, and drop the new rows too.

    Raises:
        PipelineStepFailed: If the destination cannot be read.
    """
    pipeline.activate()
    if pipeline.list_normalized_load_packages() and not pipeline.has_pending_data:
        pipeline.load()
    if pipeline.has_pending_data and are_overtaken(pipeline):
        pipeline.abort_packages()
    if not pipeline.config.restore_from_destination or pipeline.dev_mode:
        return
    pipeline.sync_destination()


def try_first_table(pipeline: dlt.Pipeline) -> None:
    """Before a first sync into Postgres, check without a call to Exact whether tables can be created.

    Later syncs may not need the right to create tables. Call it while the dataset is locked, because another
    process could create the dataset at the same time.

    Raises:
        DatabaseException: If the database user lacks a right.
    """
    if pipeline.schema_names or not pipeline.destination.destination_type.endswith(".postgres"):
        return
    with pipeline.sql_client() as client, client.begin_transaction() as transaction:
        if not client.has_dataset():
            client.create_dataset()
        client.execute_sql(f"CREATE TABLE {client.make_qualified_table_name('_exact_try')} (n INT)")
        transaction.rollback_transaction()


@contextmanager
def confirmed_load(lock: Lock) -> Iterator[None]:
    """Load under a lock that was taken before the first read.

    Raises:
        HeldError: If the lock may have been lost.
    """
    lock.confirm()
    yield


@contextmanager
def turn_to_load(pipeline: dlt.Pipeline, leases: SqlLeases, now: float) -> Iterator[None]:
    """Wait until the loads of other workers into the dataset have ended, then load.

    Raises:
        HeldError: If that takes longer than ``LOAD_PATIENCE_S``, or another worker took over a division.
    """
    with (
        leases.held(f"loads into {pipeline.dataset_name}", wait_s=LOAD_PATIENCE_S),
        sole_writer(pipeline, now, wait_s=LOAD_PATIENCE_S, sleep=leases.sleep),
    ):
        leases.confirm()
        yield


def load_round(pipeline: dlt.Pipeline, source: Any, loading: Loading) -> None:
    """Extract, normalize and load.

    Raises:
        HeldError: If a lock or a division was lost; then nothing is loaded.
    """
    # dlt adds separately called steps to its last trace, which would grow with every round.
    pipeline._last_trace = None  # type: ignore[assignment]  # noqa: SLF001
    pipeline.extract(source)
    pipeline.normalize()
    pa.default_memory_pool().release_unused()  # the destination needs memory of its own
    try:
        with loading():
            confirm_loaded(pipeline.load())
    except HeldError:
        pipeline.abort_packages()
        raise
    remove_loaded_packages(pipeline)


def confirm_loaded(info: LoadInfo) -> None:
    """Make sure that all packages were loaded; dlt may drop a leftover package without an error.

    Raises:
        LoadError: If a package did not arrive.
    """
    lost = [package.load_id for package in info.load_packages if package.state != "loaded"]
    if lost:
        raise LoadError(
            f"dataset {info.dataset_name}: load package {', '.join(lost)} was not loaded; run again: its "
            "rows are read again"
        )


def loaded_divisions(results: Iterable[StreamResult]) -> dict[str, set[int] | None]:
    """Table -> divisions with new or deleted rows; ``None`` for a table that is not per division."""
    found: dict[str, set[int] | None] = {}
    for result in results:
        if result.rows or result.deleted:
            codes = found.setdefault(result.entity, set())
            if codes is not None and result.division:
                codes.add(result.division)
            else:
                found[result.entity] = None
    return found


def load_pending(pipeline: dlt.Pipeline, loading: Loading) -> None:
    """Load the packages that an earlier process extracted but did not load.

    A package that cannot be loaded is dropped. Its cursors are then ignored, so its rows are read again. A
    package is kept if the disk is full.

    Raises:
        ConfigurationError: If a package can be neither loaded nor dropped.
        LoadError: If the disk is full.
    """
    if not pipeline.has_pending_data:
        return
    try:
        with loading():
            pipeline.run()
    except PipelineStepFailed as failure:
        if error := full_disk_error(failure, pipeline.dataset_name):
            raise error from failure
    if pipeline.has_pending_data:
        pipeline.abort_packages()
    if pipeline.has_pending_data:
        # dlt would silently load these instead of the new rows.
        raise ConfigurationError(
            f"the working folder {pipeline.working_dir} holds packages that can be neither loaded nor "
            "dropped; remove it: everything that is needed is in the destination"
        )
