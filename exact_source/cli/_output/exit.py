"""Ends a command or a script: one line about an error, and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import typer
from typer.exceptions import TyperException

from ...driver_errors import describe, is_of_driver
from ...errors import ExitCode, LimitError, causes, is_interrupt, one_line, own_error, root_cause
from .logs import PACKAGE, logging_to_stderr, notes
from .start import SIGN
from .tables import when_allowed

# Words of pydantic, by which typer checks values, and ours.
WORDS = (
    ("Value error, ", ""),
    (
        "Input should be a valid integer, unable to parse string as an integer",
        "it must be a whole number",
    ),
    ("Input should be a valid number, unable to parse string as a number", "it must be a number"),
    ("Input should be greater than or equal to", "the least is"),
    ("Input should be less than or equal to", "the most is"),
)


def run_script(load: Callable[[], int]) -> NoReturn:
    """Run a script's function and exit with its code; an error of this package is one line on stderr.

    Other errors, such as a mistake in the script, keep their traceback. SIGTERM works like Ctrl-C.

    Args:
        load: Returns an exit code, such as that of an ``Outcome``.

    Raises:
        SystemExit: Always, with the exit code: 0 complete, 1 failed, 2 a wrong setting, 3 incomplete
            and safe, 130 stopped.
    """
    stop_like_ctrl_c()
    try:
        code = load()
    except BaseException as error:
        if own_error(error) is None and not is_interrupt(error):
            raise
        with logging_to_stderr(sys.argv[1:]):
            code = report(error)
    exit_process(code)


def stop_like_ctrl_c() -> None:
    """Let SIGTERM, which stops a container, work like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def exit_process(code: int) -> NoReturn:
    """End the process; after an interrupt it waits only for token requests that are in progress.

    Raises:
        SystemExit: With the code, unless it was stopped.
    """
    if code != ExitCode.INTERRUPTED:
        sys.exit(code)
    with suppress(KeyboardInterrupt), logging_to_stderr(sys.argv[1:]):
        wait_for_tokens()
    # A thread may still be waiting for rows, and a second Ctrl-C must not wait for it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def report(error: BaseException) -> int:
    """Print one line about an error; returns the exit code."""
    SIGN.erase()
    own = own_error(error)
    if own is not None:
        when = when_allowed(own.resumes_at) if isinstance(own, LimitError) else ""
        return log_error(one_line(own) + when, own.code, own.exit_code)
    if isinstance(error, TyperException):
        text = one_line(error.format_message()).removesuffix(".")
        for theirs, ours in WORDS:
            text = text.replace(theirs, ours)
        help_is = " See --help" if text.endswith("?") else "; see --help"
        return log_error(text + help_is, "usage", ExitCode.USAGE)
    if is_interrupt(error):
        notes.info("stopped")
        return ExitCode.INTERRUPTED
    if any(isinstance(e, typer.Abort) for e in causes(error)):
        notes.info("nothing was done: the answer was no, or there was no answer")
        return ExitCode.FAILED
    return log_error(innermost(error), "unexpected", ExitCode.FAILED)


def wait_for_tokens() -> None:
    """Wait until no token request is in progress, because tokens that are not stored are lost."""
    # If the module is not, or only partly, imported, it has sent nothing.
    spending = getattr(sys.modules.get(f"{PACKAGE}.auth.in_flight"), "SPENDING", None)
    if spending is not None:
        spending.close(
            lambda: notes.info(
                "waiting for the reply to a token request, which must not be lost; another Ctrl-C "
                "ends this, and a login may then be needed"
            )
        )


def log_error(message: str, code: str, exit_code: int) -> int:
    """Log one line about an error; returns the exit code."""
    notes.error("error: %s", message, extra={"facts": {"code": code, "exit_code": exit_code}})
    return exit_code


def innermost(error: BaseException) -> str:
    """Class and message of the error that occurred first; dlt wraps errors several times."""
    if is_of_driver(error):
        return describe(error)
    first = root_cause(error)
    return f"{type(first).__name__}: {one_line(first)}"
