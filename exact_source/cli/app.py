"""Registers the commands, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer
from typer.exceptions import TyperException

from .._version import __version__
from ..clock import Clock
from ..errors import ExactError, LimitError, causes, is_interrupt
from .check import check
from .demo import demo
from .divisions import divisions
from .entities import entities
from .init import init
from .login import login, logout, tokens
from .logs import logging_to_stderr, notes, with_log_options
from .options import help_without_command
from .output import when_allowed
from .plan import plan
from .report import report as report_page
from .sandbox import sandbox
from .schema import schema
from .status import status
from .sync import sync
from .webhooks import webhooks

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="exact-source",
    help="Keep every Exact Online company you own in a SQL database, up to date.",
    epilog="First steps:  exact-source demo  -  exact-source login  -  exact-source sync",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    _version: bool = typer.Option(
        False, "--version", callback=show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Keep every Exact Online company you own in a SQL database, up to date."""
    help_without_command(context)


COMMANDS = (
    demo, init, login, check, divisions, entities, plan, sync, status, report_page, schema, tokens,
    logout, sandbox,
)  # fmt: skip
for command in COMMANDS:
    app.command()(with_log_options(command))
for registered in webhooks.registered_commands:
    if registered.callback is not None:
        registered.callback = with_log_options(registered.callback)
app.add_typer(webhooks)


def main() -> None:
    """The command ``exact-source``."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what stops a container, as Ctrl-C
    code = run(sys.argv[1:])
    if code == EXIT_INTERRUPTED:
        with suppress(KeyboardInterrupt), logging_to_stderr(sys.argv[1:]):
            wait_for_tokens()
        # A thread may still wait for rows; whoever says stop twice shall not wait with it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str], clock: Clock | None = None) -> int:
    """Run a command line; every error is one line on stderr.

    Returns:
        The exit code.
    """
    with logging_to_stderr(arguments):
        try:
            return int(app(list(arguments), standalone_mode=False, obj=clock) or 0)
        except Exception as error:  # noqa: BLE001 (the last stop: one line instead of a traceback)
            return report(error)
        except KeyboardInterrupt as error:
            return report(error)


def report(error: BaseException) -> int:
    """Say what a person can use of an error, and choose the exit code."""
    chain = list(causes(error))
    own = next((e for e in chain if isinstance(e, ExactError)), None)
    if own is not None:
        when = when_allowed(own.resumes_at) if isinstance(own, LimitError) else ""
        return say(one_line(own) + when, own.code, own.exit_code)
    if isinstance(error, TyperException):
        return say(f"{one_line(error.format_message())}; see --help", "usage", EXIT_USAGE)
    if is_interrupt(error):
        notes.info("stopped; what was loaded is kept, run again to go on")
        return EXIT_INTERRUPTED
    if any(isinstance(e, typer.Abort) for e in chain):
        notes.info("nothing was done: the answer was no, or nobody could be asked")
        return EXIT_FAILED
    return say(innermost(error), "unexpected", EXIT_FAILED)


def wait_for_tokens() -> None:
    """Until no answer of the token endpoint is under way: a pair that nobody stores is lost."""
    from ..auth.spending import SPENDING

    SPENDING.close(
        lambda: notes.info(
            "waiting for the answer to a token request, which may not be lost; stopping once more "
            "does not wait, and then a login may be needed"
        )
    )


def say(message: str, code: str, exit_code: int) -> int:
    """One line about an error; gives the exit code."""
    notes.error("error: %s", message, extra={"facts": {"code": code, "exit_code": exit_code}})
    return exit_code


def innermost(error: BaseException) -> str:
    """The first line of what started it; dlt wraps errors several times."""
    last = list(causes(error))[-1]
    return f"{type(last).__name__}: {one_line(last)}"


def one_line(error: BaseException | str) -> str:
    """A message without line breaks."""
    return " ".join(str(error).split())
