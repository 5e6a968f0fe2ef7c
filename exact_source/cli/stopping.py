"""Handles Ctrl-C and SIGTERM during a sync."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from ..errors import ExitCode, is_interrupt, own_error
from ._output.logs import notes

if TYPE_CHECKING:
    from types import FrameType

    import dlt

    from ..engine.run import Run


@contextmanager
def stop_on_interrupt(run: Run, pipeline: dlt.Pipeline) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends the round and the sync; the second stops immediately.

    Raises:
        typer.Exit: After the second signal.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if run.rounds.is_stop_requested:
            # asyncio would report each cancelled stream.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
            raise KeyboardInterrupt
        run.rounds.request_stop("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
        notes.info(
            "stopping after loading the rows that were read; press Ctrl-C again to stop at once without them"
        )

    # dlt would drop the round at the first signal.
    pipeline.runtime_config.intercept_signals = False
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except BaseException as error:
        if own_error(error) is not None or not is_interrupt(error):
            raise
        notes.info("stopped; what was loaded is kept: run again to continue")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
