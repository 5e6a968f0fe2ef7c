"""``exact-source webhooks``: receive notices of changes for ``sync --changed``."""

from __future__ import annotations

import functools
import inspect
import json
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..errors import ConfigurationError, ExitCode
from ..extras import install_command
from ._output.help import HelpGroup
from ._output.logs import log_as_a_server, notes
from ._output.options import (
    OUTPUT,
    WHAT,
    AsJson,
    BaseUrl,
    Divisions,
    Entities,
    ExcludeDivisions,
    Region,
    help_without_command,
)
from ._output.tables import Column
from ._output.view import View
from .consent import Yes, ask_consent

if TYPE_CHECKING:
    from ..client.client import ExactClient
    from ..webhooks.subscriptions import ReceiverError, Subscription

COLUMNS = (
    Column("division"),
    Column("name", rank=1),
    Column("topic"),
    Column("status"),
    Column("callback URL", rank=2),
)
SUMMARY = (Column("topic"), Column("status"), Column("companies", right=True))
MOST_SUBSCRIPTIONS = 36  # most that are listed individually; --all lists more
EachSubscription = Annotated[
    bool,
    typer.Option("--all", help="Print a line for each subscription.", rich_help_panel=OUTPUT),
]
Topics = Annotated[
    str | None,
    typer.Option(
        "--topics",
        metavar="NAMES",
        help="Topics such as Accounts,SalesInvoices.",
        rich_help_panel=WHAT,
    ),
]
Lines = Callable[["ExactClient", int], "AsyncIterator[Subscription]"]

webhooks = typer.Typer(
    name="webhooks",
    help="Receive notices of changes through Exact Online's webhooks.",
    cls=HelpGroup,
)


@webhooks.callback(invoke_without_command=True)
def options(context: typer.Context) -> None:
    """Receive notices of changes through Exact Online's webhooks; docs/webhooks.md explains the setup."""
    help_without_command(context)


def for_companies(command: Callable[..., Lines]) -> Callable[..., None]:
    """The command with the options of ``each_company``, which calls the returned function per company."""
    own = inspect.signature(command, eval_str=True).parameters.values()
    _, *shared = inspect.signature(each_company, eval_str=True).parameters.values()

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        mine = {option.name: arguments.pop(option.name) for option in own}
        each_company(command(**mine), **arguments)

    options = [option.replace(kind=option.KEYWORD_ONLY) for option in (*own, *shared)]
    cast("Any", wrapped).__signature__ = inspect.Signature(options)
    return wrapped


def each_company(  # noqa: PLR0913 (options of a command)
    lines: Lines,
    *,
    context: typer.Context,
    divisions: Divisions = "all",
    exclude_divisions: ExcludeDivisions = "",
    region: Region = None,
    base_url: BaseUrl = None,
    every: EachSubscription = False,
    as_json: AsJson = False,
) -> None:
    """Do something with each company and show the result; the exit code is 3 if a part failed.

    Raises:
        ReceiverError: If Exact refuses the callback address; no other company is tried.
    """
    import asyncio

    from ..connect import make_read_only_run
    from ..source import make_options
    from ._output.display import asking
    from .connect import clock_of, make_connection
    from .side_by_side import for_each

    settings, storage = make_connection(region, base_url)
    options = make_options(divisions=divisions, exclude_divisions=exclude_divisions)
    run = make_read_only_run(options, settings, storage, clock_of(context))
    found: dict[int, list[Subscription]] = {}
    names: dict[int, str] = {}

    async def read() -> None:
        async with run.connected() as client:
            chosen = [d for d in await run.divisions.chosen() if not d.blocked]
            names.update((d.code, d.name) for d in chosen)
            found.update((d.code, []) for d in chosen)  # in the order of the output

            async def ask(division: int) -> None:
                async for line in lines(client, division):
                    found[division].append(line)

            await for_each(names, ask)

    with asking(run):
        refused = asyncio.run(until_refused(read()))
    conclude(
        [line for lines in found.values() for line in sorted(lines, key=lambda one: one.topic)],
        names,
        refused,
        View(every, as_json=as_json),
    )


def conclude(
    found: list[Subscription], names: Mapping[int, str], refused: ReceiverError | None, view: View
) -> None:
    """Show the result, then the errors.

    Raises:
        ReceiverError: The refusal, if there is one.
        typer.Exit: With 3 if a subscription failed.
    """
    from ._output.tables import print_json

    if view.as_json:
        print_json({"subscriptions": [asdict(line) for line in found]})
    else:
        show(found, names, every=view.every)
    if refused is not None:
        raise refused
    show_errors(found)
    if any(line.status == "failed" for line in found):
        raise typer.Exit(ExitCode.INCOMPLETE)


@webhooks.command()
@for_companies
def subscribe(
    callback_url: Annotated[
        str,
        typer.Option(metavar="URL", help="https address at which Exact reaches the receiver."),
    ],
    entities: Entities = None,
    topics: Topics = None,
) -> Lines:
    """Subscribe to the webhooks of entities or topics.

    Makes a call for each topic of each division, and one to read the subscriptions that exist. The
    receiver must be running: Exact tries the address at once.

    Example: exact-source webhooks subscribe --callback-url https://books.example/exact --divisions 123456
    """
    from ..webhooks.subscriptions import CallbackAddress, check_callback_url, check_topic
    from ..webhooks.subscriptions import subscribe as order

    address = CallbackAddress(check_callback_url(callback_url))
    wanted = [check_topic(t) for t in _split(topics)] or _topics_of(entities)
    return lambda client, division: order(client, division, wanted, address)


@webhooks.command("list")
@for_companies
def list_() -> Lines:
    """List the subscriptions; makes a call for each division.

    Example: exact-source webhooks list --json
    """
    from ..webhooks.subscriptions import read_subscriptions

    async def lines(client: ExactClient, division: int) -> AsyncIterator[Subscription]:
        for subscription in await read_subscriptions(client, division):
            yield subscription

    return lines


@webhooks.command()
@for_companies
def unsubscribe(topics: Topics = None, yes: Yes = False) -> Lines:
    """Delete all subscriptions of the divisions, or those to some topics.

    Asks first, unless --yes is given: other programs of the same app lose their subscriptions, too.

    Example: exact-source webhooks unsubscribe --divisions 123456 --topics Accounts
    """
    from ..webhooks.subscriptions import check_topic, read_subscriptions
    from ..webhooks.subscriptions import unsubscribe as cancel

    wanted = {check_topic(topic) for topic in _split(topics)}
    if not yes:
        which = f"subscriptions to {', '.join(sorted(wanted))}" if wanted else "all subscriptions"
        ask_consent("webhooks unsubscribe", f"Delete {which} of the chosen companies?")

    async def lines(client: ExactClient, division: int) -> AsyncIterator[Subscription]:
        for found in await read_subscriptions(client, division):
            if found.status == "failed":
                yield found
            elif not wanted or found.topic in wanted:
                yield await cancel(client, found)

    return lines


@webhooks.command()
def serve(
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on.")
    ] = 8090,
    as_json: AsJson = False,
) -> None:
    """Receive webhooks and note what changed, until Ctrl-C.

    A proxy in front must provide https. With --json one line on stdout gives the address.

    Example: exact-source webhooks serve --port 8090
    """
    try:
        from ..webhooks.receiver import receiver_from_settings
        from ..webhooks.server import make_server
    except ImportError as error:
        raise ConfigurationError(
            f"the receiver needs {error.name}; install it with: {install_command('webhooks')}"
        ) from None

    from ..webhooks.settings import load_webhook_settings

    app = receiver_from_settings()
    path = load_webhook_settings().path
    with bind(host, port) as bound, suppress(KeyboardInterrupt):
        log_as_a_server()
        taken = bound.getsockname()[1]
        if as_json:
            # On one line, because a program reads it while the receiver keeps running.
            typer.echo(json.dumps({"host": host, "port": taken, "path": path}))
            sys.stdout.flush()
        notes.info("listening on http://%s:%d%s", f"[{host}]" if ":" in host else host, taken, path)
        make_server(app).run(sockets=[bound])


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 chooses a free port.

    Raises:
        ConfigurationError: If the port is in use, or the address does not belong to this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python adds the address once more
        raise ConfigurationError(f"--host {host} --port {port}: {reason}; choose another") from None


def _topics_of(entities: str | None) -> list[str]:
    from ..catalogue import choose_entities, load_catalogue
    from ..webhooks import topics_for

    topics = topics_for(choose_entities(entities, load_catalogue()))
    if not topics:
        raise ConfigurationError(
            f"--entities: Exact Online has no webhooks for {entities}; docs/webhooks.md lists its topics"
        )
    return topics


def _split(names: str | None) -> list[str]:
    found = [name.strip() for name in (names or "").split(",") if name.strip()]
    if names is not None and not found:  # an empty variable of a shell must not delete everything
        raise ConfigurationError("--topics names no topic; leave it out for all topics")
    return found


async def until_refused(work: Awaitable[None]) -> ReceiverError | None:
    """Do the work; returns the error that ended it early, so that the results so far can be shown."""
    from ..webhooks.subscriptions import ReceiverError

    try:
        await work
    except ReceiverError as error:
        return error
    return None


def show(found: list[Subscription], names: Mapping[int, str], *, every: bool = False) -> None:
    """Print the subscriptions with the names of the companies; if there are many, a summary."""
    from ._output.tables import make_console, print_table

    if not found:
        typer.echo("no subscriptions")
        return
    if len(found) > MOST_SUBSCRIPTIONS and not every:
        counts = Counter((s.topic, s.status) for s in found)
        print_table(make_console(), SUMMARY, [[*kind, n] for kind, n in sorted(counts.items())])
        typer.echo(f"{len(found):,} subscriptions; --all lists them all")
        return
    rows = [
        [str(s.division), names.get(s.division), s.topic, s.status, s.callback_url] for s in found
    ]
    print_table(make_console(), COLUMNS, rows)


def show_errors(found: list[Subscription]) -> None:
    """Print a line on stderr for each subscription that failed."""
    for line in found:
        if line.error:
            facts = {"code": line.code, "division": line.division, "topic": line.topic or None}
            notes.error("error: %s", line.error, extra={"facts": facts})
