"""Questions at a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from ...errors import ConfigurationError
from ...settings import without_quotes


def prompt(
    question: str, default: str | None, check: Callable[[str], Any], *, secret: bool = False
) -> str:
    """Ask on stderr until the answer is valid; spaces and quotes around it are removed."""

    def convert(text: str) -> str:
        try:
            check(without_quotes(text))
        except ConfigurationError as error:
            raise typer.BadParameter(str(error)) from None
        return without_quotes(text)

    return str(
        typer.prompt(
            question, default, hide_input=secret, show_default=not secret, value_proc=convert, err=True
        )
    )  # fmt: skip


def wanted(flag: bool | None, question: str, *, asks: bool) -> bool:
    """The value of the option, otherwise the answer; without a terminal, no."""
    if flag is None and asks:
        return typer.confirm(question, default=True, err=True)
    return bool(flag)
