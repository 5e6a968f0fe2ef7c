"""Asks before something is deleted."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import ConfigurationError

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def ask_consent(command: str, question: str) -> None:
    """Ask a question that must be answered with yes.

    Args:
        command: The command, for the message.
        question: The question.

    Raises:
        typer.Abort: If the answer is no.
        ConfigurationError: If there is no terminal for the answer.
    """
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)  # ends the line of the question
        raise ConfigurationError(
            f"{command} asks before it deletes, and there was no answer; without a terminal, add --yes"
        ) from None
    if not agreed:
        raise typer.Abort
