"""Messages on stderr: plain lines, or one JSON object per line."""

from __future__ import annotations

import functools
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any, TextIO, cast

import typer

from ...driver_errors import is_job_report
from ...errors import ExitCode
from .options import OUTPUT
from .tables import iso_instant, wrapped

# Messages to the user; other loggers need -v.
notes = logging.getLogger("exact_source.cli")
PACKAGE = "exact_source"
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)


class LogFormat(StrEnum):
    """Forms of the messages on stderr."""

    text = "text"
    json = "json"


class JsonFormatter(logging.Formatter):
    """One object per line: ``at``, ``level``, ``logger``, ``message``, and the record's ``facts``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "at": iso_instant(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The message, wrapped between words on a terminal; with its level if it is not from a command."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        said = record.getMessage()
        if record.name != notes.name:
            said = f"{record.levelname.lower()}: {' '.join(said.split())}"
        width = terminal_width()
        return said if width is None else "\n".join(wrapped(said, width))


def terminal_width() -> int | None:
    """The width of the terminal of stderr; ``None`` if stderr is not a terminal."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or None
    except (OSError, ValueError):  # a file, or a stream without a file
        return None


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the current ``sys.stderr``, which a progress display replaces temporarily."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        """The current stderr."""
        return sys.stderr


def is_worth_saying(record: logging.LogRecord) -> bool:
    """Drop asyncio's reports on streams that an error closes; the error itself is reported."""
    return record.name != "asyncio" or logging.getLogger(PACKAGE).level == logging.DEBUG


HANDLER = StderrHandler()
HANDLER.addFilter(is_worth_saying)


# dlt warns if a pipeline loads into a different destination than last time. ``drop_if_destination_changed``
# handles that, and "will be ignored" sounds as if the new destination were ignored.
SETTLED = "in state differs from destination"


class Forwarding(logging.Handler):
    """Passes on dlt's messages in the command's own format, each once.

    dlt's logger does not propagate, and dlt sets its own format on the first handler.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on."""
        said = record.getMessage()
        if said not in self._said and SETTLED not in said and not is_job_report(record):
            self._said.add(said)
            HANDLER.handle(record)


@contextmanager
def logging_to_stderr(arguments: Sequence[str]) -> Iterator[None]:
    """Log warnings and the messages of commands to stderr, until an option requests more.

    Args:
        arguments: The command line, whose log format applies even if other options are wrong.
    """
    package, root, of_dlt = (logging.getLogger(name) for name in (PACKAGE, None, "dlt"))
    as_json = "--log-format=json" in "=".join(arguments)
    HANDLER.setFormatter(JsonFormatter() if as_json else TextFormatter())
    set_verbosity(0)
    notes.setLevel(logging.INFO)
    root.addHandler(HANDLER)
    before, of_dlt.handlers = of_dlt.handlers, [Forwarding()]
    logging.captureWarnings(capture=True)
    try:
        yield
    finally:
        logging.captureWarnings(capture=False)
        of_dlt.handlers = before
        package.setLevel(logging.NOTSET)
        root.removeHandler(HANDLER)
        HANDLER.setFormatter(TextFormatter())


def set_verbosity(count: int) -> None:
    """``-v``: how each stream ended; ``-vv``: every call."""
    logging.getLogger(PACKAGE).setLevel(LEVELS[min(count, len(LEVELS) - 1)])


def log_as_a_server() -> None:
    """Log the messages of all libraries from now on, with the time."""
    for logger in (logging.getLogger(PACKAGE), logging.getLogger()):
        logger.setLevel(logging.INFO)
    if is_for_people():
        HANDLER.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))


def is_for_people() -> bool:
    """Whether a moving progress line may be shown between messages."""
    return not isinstance(HANDLER.formatter, JsonFormatter)


def ask_for(text: str, end: str = "\n") -> None:
    """Ask the user to do something; in JSON it is an ordinary line."""
    if is_for_people():
        typer.echo(text + end, nl=False, err=True)
    else:
        notes.info("%s", " ".join(text.split()))


Verbose = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        show_default=False,
        is_eager=True,
        callback=set_verbosity,
        metavar="",
        help="Report each stream; -vv: every call.",
        rich_help_panel=OUTPUT,
    ),
]
Form = Annotated[
    LogFormat,
    typer.Option(
        "--log-format",
        metavar="text|json",
        help="Messages on stderr as text, or as one JSON object a line.",
        rich_help_panel=OUTPUT,
    ),
]


def with_log_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with ``-v`` and ``--log-format``, and one line if it is interrupted."""

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        del arguments["verbose"], arguments["log_format"]
        try:
            command(**arguments)
        except KeyboardInterrupt:  # typer would exit without a message
            notes.info("stopped")
            raise typer.Exit(ExitCode.INTERRUPTED) from None

    shape = inspect.signature(command, eval_str=True)
    more = [
        inspect.Parameter("verbose", inspect.Parameter.KEYWORD_ONLY, default=0, annotation=Verbose),
        inspect.Parameter(
            "log_format",
            inspect.Parameter.KEYWORD_ONLY,
            default=LogFormat.text,
            annotation=Form,
        ),
    ]
    parameters = [*shape.parameters.values(), *more]
    changed = cast("Any", wrapped)
    changed.__signature__ = shape.replace(parameters=parameters)
    changed.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapped
