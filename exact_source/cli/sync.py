"""``exact-source sync``: the main job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..driver_errors import describe_load
from ..errors import ConfigurationError, ExactError, LoadError, is_interrupt, own_error
from ._output.options import (
    DATASET,
    LIMITS,
    OUTPUT,
    PIPELINE,
    ROWS,
    WHAT,
    AllStreams,
    AsJson,
    BaseUrl,
    ContractCap,
    Dataset,
    Destination,
    Divisions,
    Entities,
    ExcludeDivisions,
    OnlyProblems,
    PipelineName,
    Region,
    ReserveCalls,
    Route,
    StartBy,
    StartDate,
    parse_route,
)
from ._output.view import View
from .gc_tuning import infrequent_gc
from .recording import Record, checked, observer_of, start_recording
from .settings_options import LEAST_MINUTES, is_given
from .stopping import stop_on_interrupt

if TYPE_CHECKING:
    import dlt

    from ..client.limits import Limits
    from ..engine.run import Run
    from ..sync.outcome import Outcome


def sync(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = DATASET,
    divisions: Divisions = "all",
    exclude_divisions: ExcludeDivisions = "",
    entities: Entities = None,
    route: Route = None,
    deletes: Annotated[
        str,
        typer.Option(
            metavar="hard|soft|ignore",
            help="Deleted rows: hard removes them; soft sets _deleted_at; ignore leaves them as they are.",
            rich_help_panel=ROWS,
        ),
    ] = "hard",
    start_date: StartDate = None,
    start_by: StartBy = None,
    full_refresh: Annotated[
        bool,
        typer.Option(
            "--full-refresh", help="Read the chosen entities from the start.", rich_help_panel=ROWS
        ),
    ] = False,
    reconcile: Annotated[
        bool,
        typer.Option(
            "--reconcile",
            help="Compare all keys with Exact now, and remove deleted rows.",
            rich_help_panel=ROWS,
        ),
    ] = False,
    reconcile_days: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="DAYS",
            help=(
                "Days between comparisons of keys, for entities whose deletions Exact does not list; "
                "inf for never."
            ),
            rich_help_panel=ROWS,
        ),
    ] = 7.0,
    trust_empty: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Entities for which an empty reply deletes the stored rows, whatever the user's rights.",
            rich_help_panel=ROWS,
        ),
    ] = "",
    changed: Annotated[
        bool,
        typer.Option(
            "--changed", help="Read only the streams that webhooks named.", rich_help_panel=WHAT
        ),
    ] = False,
    retry_refused: Annotated[
        bool,
        typer.Option(
            "--retry-refused",
            help="Request again what was refused because a module, right or scope was missing.",
            rich_help_panel=WHAT,
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit with 1 or 3 if a module, right or scope is missing, or a company is blocked.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    history: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Entities whose earlier states are kept, in tables such as accounts_history.",
            rich_help_panel=ROWS,
        ),
    ] = None,
    exclude_columns: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns that are never requested: accounts.email, *.phone, or the preset personal.",
            rich_help_panel=ROWS,
        ),
    ] = None,
    hash_columns: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Columns of which a hash is loaded instead, made with the setting hash_key.",
            rich_help_panel=ROWS,
        ),
    ] = None,
    max_calls: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Stop after this many calls.", rich_help_panel=LIMITS
        ),
    ] = None,
    max_minutes: Annotated[
        float | None,
        typer.Option(
            min=LEAST_MINUTES,
            metavar="MINUTES",
            help="Stop after this time.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    reserve_calls: ReserveCalls = 0,
    contract_cap: ContractCap = None,
    round_minutes: Annotated[
        float,
        typer.Option(
            min=LEAST_MINUTES,
            metavar="MINUTES",
            help="Load and commit at least this often.",
            rich_help_panel=LIMITS,
        ),
    ] = 5.0,
    utc_instants: Annotated[
        bool,
        typer.Option(
            "--utc-instants", help="Add created_utc and modified_utc.", rich_help_panel=ROWS
        ),
    ] = False,
    raw_codes: Annotated[
        bool,
        typer.Option(
            "--raw-codes",
            help="Add columns such as code_raw, with the spaces that Exact pads codes with.",
            rich_help_panel=ROWS,
        ),
    ] = False,
    region: Region = None,
    base_url: BaseUrl = None,
    pipeline_name: PipelineName = PIPELINE,
    record: Record = None,
    every: AllStreams = False,
    problems: OnlyProblems = False,
    as_json: AsJson = False,
) -> None:
    """Bring the tables up to date with Exact Online.

    The exit code is 0 if everything is loaded, 1 if the sync failed, 2 if a setting is wrong, and 3
    if it stopped safely before the end: run it again to continue.

    Example: exact-source sync --destination duckdb --divisions 123456,234567 --entities accounts,items
    """
    from rich.console import Console

    from ..catalogue import choose_entities, load_catalogue
    from ..client.limits import Limits
    from ..options import ROUND_ROWS
    from ..source import make_options, make_run
    from ..workers.leases import leases_from_settings
    from ._output.display import Display
    from ._output.stored_syncs import place_of, recall
    from .connect import clock_of, make_connection, make_pipeline

    display, started = Display(Console(stderr=True)), time.monotonic()
    view = View(every, problems, as_json)
    with early_errors(pipeline_name, view):
        chosen = choose_entities(entities, load_catalogue())
        options = make_options(
            divisions=divisions,
            exclude_divisions=exclude_divisions,
            start_date=start_date,
            start_by=start_by,
            route=parse_route(route),
            deletes=deletes,
            full_refresh=chosen if full_refresh else False,
            reconcile=chosen if reconcile else False,
            reconcile_days=reconcile_days,
            trust_empty=trust_empty,
            history=history or False,
            round_s=round_minutes * 60,
            round_rows=ROUND_ROWS,
            utc_instants=utc_instants,
            raw_codes=raw_codes,
            notices=read_notices() if changed else None,
            exclude_columns=exclude_columns,
            hash_columns=hash_columns,
            retry_refused=retry_refused,
            strict=strict,
            clock=clock_of(context),
        )
        check_history(history if is_given(context, "history") else None, chosen)
        pipeline = make_pipeline(destination, dataset, pipeline_name)
        place = place_of(pipeline)
        settings, storage = make_connection(region, base_url, pipeline)
        leases = leases_from_settings(settings)
        clock = clock_of(context)
        recorder = start_recording(record, settings.base_url)
        run = make_run(
            options,
            settings,
            storage,
            clock=clock,
            limits=after_plans(
                pipeline,
                Limits(reserve=reserve_calls, contract_cap=contract_cap, max_calls=max_calls),
                clock.now(),
            ),
            leases=leases,
            observe=observer_of(recorder),
        )
        if max_minutes is not None:
            run.rounds.stop_by(run.clock.now() + max_minutes * 60)
    earlier = partial(recall, pipeline, now=clock.now(), entities=chosen, count_rows=False)
    with (
        stop_on_interrupt(run, pipeline),
        display.follow(run, earlier) as on_round,
        infrequent_gc(),
        checked(recorder),
    ):
        outcome = loaded(pipeline, run, chosen, on_round)
    names = {d.code: d.name for d in run.divisions.chosen_so_far}
    finish(pipeline_name, outcome, time.monotonic() - started, place, names, view=view)


def check_history(history: str | None, chosen: Sequence[str]) -> None:
    """Refuse a history of an entity that this sync does not read.

    Raises:
        ConfigurationError: The message names the entity.
    """
    for name in (n.strip() for n in (history or "").split(",")):
        if name not in {"", "all", *chosen}:
            raise ConfigurationError(
                f"--history: {name} is not read by this sync; add it to --entities"
            )


@contextmanager
def early_errors(pipeline: str, view: View) -> Iterator[None]:
    """Report an error before the first call in the same way as a later one."""
    from ..sync.outcome import Outcome

    try:
        yield
    except ExactError as error:
        finish(pipeline, Outcome([], 0, 0, error), 0.0, view=view)


def finish(
    pipeline: str,
    outcome: Outcome,
    seconds: float,
    place: str = "",
    names: Mapping[int, str] | None = None,
    *,
    view: View,
) -> NoReturn:
    """Send the alert, show the result, and exit with the exit code.

    Raises:
        ExactError: The error that ended the sync.
        typer.Exit: With the exit code, if there is no such error.
    """
    from ._output.outcome import show_outcome
    from .alert import alert

    alert(pipeline, outcome)
    show_outcome(outcome, seconds, place, names or {}, view)
    raise typer.Exit(outcome.exit_code)


def after_plans(pipeline: dlt.Pipeline, limits: Limits, now: float) -> Limits:
    """The limits, with the calls of today's plans counted; the session adds those of earlier syncs."""
    from .row_memory import day_of, recall_counted

    limits.note_earlier_calls(recall_counted(pipeline).calls_on(day_of(now)), now)
    return limits


def loaded(
    pipeline: dlt.Pipeline, run: Run, entities: Sequence[str], on_round: Callable[[int], None]
) -> Outcome:
    """The outcome of the sync, even if the destination failed."""
    from dlt.pipeline.exceptions import PipelineStepFailed

    from ..sync.outcome import Outcome
    from ..sync.runner import sync as run_sync
    from ._output.database_errors import reaching

    error: ExactError
    try:
        with reaching(pipeline):
            outcome = run_sync(pipeline, run, entities, on_round=on_round)
    except (PipelineStepFailed, ExactError) as failure:
        if is_interrupt(failure):
            raise
        # The results of streams belong to a failed load, so they are left out.
        error = load_error(pipeline, failure)
        return Outcome([], run.rounds.number, run.limits.calls, error)
    if isinstance(outcome.error, LoadError):
        return replace(outcome, error=load_error(pipeline, outcome.error))
    return outcome


def load_error(pipeline: dlt.Pipeline, failure: Exception) -> ExactError:
    """The error of a load in one line: about the destination, or about the loaded rows."""
    from ._output.database_errors import explain, is_known

    own = own_error(failure)
    if own is not None and not (isinstance(own, LoadError) and own.__cause__ is not None):
        return own
    if is_known(failure):
        return explain(pipeline, failure)
    if own is not None:
        return own
    said = describe_load(failure, pipeline.working_dir)
    return LoadError(f"dataset {pipeline.dataset_name}: the sync failed: {said}")


def read_notices() -> dict[tuple[str, int], str]:
    """The notices of webhooks so far; later ones are for the next sync."""
    from ..webhooks import Notices, load_webhook_settings

    return Notices(load_webhook_settings().notices_url).latest()
