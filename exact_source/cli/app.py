"""Registers the commands, and runs one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from .._version import __version__
from ..clock import Clock
from ._output.exit import exit_process, report, stop_like_ctrl_c
from ._output.help import HelpCommand, HelpGroup
from ._output.logs import logging_to_stderr, with_log_options
from ._output.options import help_without_command
from .check import check
from .demo import demo
from .divisions import divisions
from .entities import entities
from .init import init
from .login import login, logout, tokens
from .plan import plan
from .project import prepared
from .report import report as report_page
from .sandbox import sandbox
from .schema import schema
from .status import status
from .sync import sync
from .verify import verify
from .webhooks import webhooks

app = typer.Typer(
    name="exact-source",
    help="Keep every Exact Online company you own in a SQL database, up to date.",
    epilog="First steps: exact-source demo, then exact-source init and exact-source sync.",
    cls=HelpGroup,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
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
    demo, init, login, check, divisions, entities, plan, sync, status, verify, report_page, schema,
    tokens, logout, sandbox,
)  # fmt: skip
for command in COMMANDS:
    app.command(cls=HelpCommand)(with_log_options(prepared(command)))
for registered in webhooks.registered_commands:
    if registered.callback is not None:
        registered.callback = with_log_options(prepared(registered.callback))
        registered.cls = HelpCommand
app.add_typer(webhooks)


def main() -> None:
    """The command ``exact-source``."""
    stop_like_ctrl_c()
    exit_process(run(sys.argv[1:]))


@cache
def program() -> Any:
    """All commands with their options."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str], clock: Clock | None = None) -> int:
    """Run a command line; every error is one line on stderr.

    Returns:
        The exit code.
    """
    with logging_to_stderr(arguments):
        try:
            return int(program().main(list(arguments), standalone_mode=False, obj=clock) or 0)
        except Exception as error:  # noqa: BLE001 (one line instead of a traceback)
            return report(error)
        except KeyboardInterrupt as error:
            return report(error)
