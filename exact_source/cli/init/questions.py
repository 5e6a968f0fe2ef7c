"""How a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from ...errors import ConfigurationError


def prompt(
    question: str, default: str | None, check: Callable[[str], Any], *, secret: bool = False
) -> str:
    """Ask on stderr until the answer is one."""

    def convert(text: str) -> str:
        try:
            check(text)
        except ConfigurationError as error:
            raise typer.BadParameter(str(error)) from None
        return text.strip()

    return str(
        typer.prompt(
            question, default, hide_input=secret, show_default=not secret, value_proc=convert, err=True
        )
    )  # fmt: skip


def wanted(flag: bool | None, question: str, *, asks: bool) -> bool:
    """The flag, else the answer, else no."""
    if flag is None and asks:
        return typer.confirm(question, default=True, err=True)
    return bool(flag)
