"""``exact-source sync``: the main job."""

from __future__ import annotations

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ..errors import ExactError, LoadError, is_interrupt, one_line, root_cause
from ._output.logs import notes
from ._output.options import (
    AsJson,
    BaseUrl,
    Dataset,
    Destination,
    Divisions,
    Entities,
    PipelineName,
    Region,
    StartBy,
)

if TYPE_CHECKING:
    from types import FrameType

    import dlt

    from ..engine.run import Run
    from ..sync.runner import Outcome


def sync(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = "exact_online",
    divisions: Divisions = "all",
    entities: Entities = None,
    route: Annotated[
        list[str] | None,
        typer.Option(help="auto, sync, bulk or regular; or for one entity: accounts=regular."),
    ] = None,
    deletes: Annotated[
        str, typer.Option(help="hard: rows that are gone go; soft: they stay, marked; ignore.")
    ] = "hard",
    start_date: Annotated[
        str | None, typer.Option(help="Load only what changed since this date.")
    ] = None,
    start_by: StartBy = None,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Read the chosen entities anew.")
    ] = False,
    reconcile: Annotated[
        bool,
        typer.Option("--reconcile", help="Compare all keys now: rows that are gone at Exact go."),
    ] = False,
    reconcile_days: Annotated[
        float, typer.Option(min=0, help="Do so this often where Exact tells of no deletions.")
    ] = 7.0,
    changed: Annotated[
        bool,
        typer.Option("--changed", help="Read only what webhooks told of since it was last read."),
    ] = False,
    history: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Entities whose earlier states are kept: accounts_history."
        ),
    ] = None,
    max_calls: Annotated[int | None, typer.Option(min=1, help="Stop after so many calls.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so many minutes.")
    ] = None,
    reserve_calls: Annotated[
        int, typer.Option(min=0, help="Calls of each company's day left to others.")
    ] = 0,
    contract_cap: Annotated[
        int | None, typer.Option(min=1, help="Calls a day over all companies.")
    ] = None,
    round_minutes: Annotated[
        float, typer.Option(min=0.01, help="Load and commit at least this often.")
    ] = 5.0,
    round_pages: Annotated[
        int | None, typer.Option(min=1, help="Load and commit after so many pages, too.")
    ] = None,
    utc_instants: Annotated[
        bool, typer.Option("--utc-instants", help="Add created_utc and modified_utc.")
    ] = False,
    raw_codes: Annotated[
        bool,
        typer.Option("--raw-codes", help="Add code_raw and the like: codes as Exact pads them."),
    ] = False,
    region: Region = None,
    base_url: BaseUrl = None,
    pipeline_name: PipelineName = "exact_online",
    as_json: AsJson = False,
) -> None:
    """Bring the tables up to date with Exact Online.

    Ends with 0 when all is loaded, 1 when it failed, 2 on wrong settings, and 3 when it stopped
    safely before the end (run again to go on).

    Example: exact-source sync --destination duckdb --divisions 123456,234567 --entities accounts,items
    """
    from rich.console import Console

    from ..catalogue import load_catalogue
    from ..client.limits import Limits
    from ..options import ROUND_ROWS
    from ..source import choose_entities, make_options, make_run
    from ..workers.leases import leases_from_settings
    from ._output.display import Display
    from ._output.stored_syncs import recall
    from .connect import clock_of, make_connection, make_pipeline

    started = time.monotonic()
    with early_errors(pipeline_name, as_json=as_json):
        chosen = choose_entities(entities, load_catalogue())
        options = make_options(
            divisions=divisions,
            start_date=start_date,
            start_by=start_by,
            route=parse_route(route),
            deletes=deletes,
            full_refresh=chosen if full_refresh else False,
            reconcile=chosen if reconcile else False,
            reconcile_days=reconcile_days,
            history=history or False,
            round_pages=round_pages,
            round_s=round_minutes * 60,
            round_rows=ROUND_ROWS,
            utc_instants=utc_instants,
            raw_codes=raw_codes,
            notices=read_notices() if changed else None,
        )
        pipeline = make_pipeline(destination, dataset, pipeline_name)
        place = place_of(pipeline)
        settings, storage = make_connection(region, base_url, pipeline)
        limits = Limits(reserve=reserve_calls, contract_cap=contract_cap, max_calls=max_calls)
        leases = leases_from_settings(settings)
        clock = clock_of(context)
        run = make_run(options, settings, storage, clock=clock, limits=limits, leases=leases)
        if max_minutes is not None:
            run.rounds.stop_at = run.clock.now() + max_minutes * 60
    display = Display(Console(stderr=True))
    earlier = partial(recall, pipeline, now=clock.now(), entities=chosen, count_rows=False)
    with stop_on_interrupt(run, pipeline), display.follow(run, earlier) as on_round:
        outcome = loaded(pipeline, run, chosen, on_round)
    finish(pipeline_name, outcome, time.monotonic() - started, place, as_json=as_json)


def place_of(pipeline: dlt.Pipeline) -> str:
    """Where the tables are, for people.

    Raises:
        ConfigurationError: If the destination's credentials are missing or wrong.
    """
    from ._output.stored_syncs import database_file, reaching

    with reaching(pipeline):
        pipeline.destination_client()  # its configuration
    file = database_file(pipeline)
    name = pipeline.destination.destination_name
    return f"{file or name}, schema {pipeline.dataset_name}"


@contextmanager
def early_errors(pipeline: str, *, as_json: bool) -> Iterator[None]:
    """What goes wrong before the first call is told like what goes wrong later."""
    from ..sync.runner import Outcome

    try:
        yield
    except ExactError as error:
        finish(pipeline, Outcome([], 0, 0, error), 0.0, as_json=as_json)


def finish(
    pipeline: str, outcome: Outcome, seconds: float, place: str = "", *, as_json: bool
) -> NoReturn:
    """Tell whoever wants to hear, and leave with the exit code.

    Raises:
        ExactError: That ended the sync, if a person reads the result.
        typer.Exit: Else.
    """
    from .alert import alert

    alert(pipeline, outcome)
    show(outcome, seconds, place, as_json=as_json)
    raise typer.Exit(outcome.exit_code)


def loaded(
    pipeline: dlt.Pipeline, run: Run, entities: Sequence[str], on_round: Callable[[int], None]
) -> Outcome:
    """How the sync ended, also if the destination ended it."""
    from dlt.pipeline.exceptions import PipelineStepFailed

    from ..sync.runner import Outcome
    from ..sync.runner import sync as run_sync

    try:
        return run_sync(pipeline, run, entities, on_round=on_round)
    except PipelineStepFailed as failure:
        if is_interrupt(failure):
            raise
        # What streams say of themselves is about a load that did not arrive, so it is left out.
        first = root_cause(failure)
        error = LoadError(f"{type(first).__name__}: {one_line(first)}")
        return Outcome([], run.rounds.number, run.limits.calls, error)


def read_notices() -> dict[tuple[str, int], str]:
    """What webhooks have told, taken before the first call: what comes later is for the next sync."""
    from ..webhooks import Notices, load_webhook_settings

    return Notices(load_webhook_settings().notices_url).latest()


def show(outcome: Outcome, seconds: float, place: str, *, as_json: bool) -> None:
    """The result: a table on stdout and remarks on stderr, or one JSON document; errors on stderr."""
    from ._output.display import (
        closing_code,
        closing_line,
        problems,
        remarks,
        result_console,
        summary,
        to_json,
    )

    if as_json:
        typer.echo(json.dumps(to_json(outcome, seconds)))
    elif outcome.results:
        result_console().print(summary(outcome))
    for text, facts in problems(outcome).items():
        notes.error("error: %s", text, extra={"facts": facts})
    if not as_json:
        for line in remarks(outcome):
            notes.info("%s", line)
    if outcome.error is not None:
        raise outcome.error
    if not as_json:
        notes.info("the tables are in %s", place)
        facts = {"exit_code": outcome.exit_code, "code": closing_code(outcome)}
        notes.info(closing_line(outcome, seconds), extra={"facts": facts})


def parse_route(texts: list[str] | None) -> str | dict[str, str]:
    """``["bulk"]`` -> ``"bulk"``; ``["accounts=regular"]`` -> a mapping per entity."""
    if not texts:
        return "auto"
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    return {name: route for name, _, route in (t.partition("=") for t in texts)}


@contextmanager
def stop_on_interrupt(run: Run, pipeline: dlt.Pipeline) -> Iterator[None]:
    """Ctrl-C or SIGTERM once ends the round and stops; twice stops now."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if run.rounds.stop_requested:
            # It would tell of each stream that is torn down.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
            raise KeyboardInterrupt
        run.rounds.stop_requested = True
        notes.info("loading what was read, then stopping; once more stops now")

    # dlt would drop the round at the first signal.
    pipeline.runtime_config.intercept_signals = False
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
