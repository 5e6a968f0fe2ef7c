"""The option ``--record``: records the masked replies of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ._output.logs import notes
from ._output.options import OUTPUT

if TYPE_CHECKING:
    from ..client.observing import Observer
    from ..client.recording import Recorder

Record = Annotated[
    Path | None,
    typer.Option(
        "--record",
        metavar="FOLDER",
        help="Keep the replies in a new folder, with every text, key, amount and date masked.",
        rich_help_panel=OUTPUT,
    ),
]


def start_recording(folder: Path | None, origin: str) -> Recorder | None:
    """A recorder; ``None`` without a folder.

    Raises:
        ConfigurationError: If the folder cannot be used.
    """
    if folder is None:
        return None
    from ..client.recording import Recorder

    return Recorder(folder, origin)


def observer_of(recorder: Recorder | None) -> Observer | None:
    """The function that is called with each reply; ``None`` if replies are not recorded."""
    return None if recorder is None else recorder.observe


@contextmanager
def checked(recorder: Recorder | None) -> Iterator[None]:
    """Check at the end, even after an error, that all recorded values are masked.

    A recording without replies is deleted.

    Raises:
        ConfigurationError: If a value is not masked.
    """
    try:
        yield
    finally:
        if recorder is not None and not recorder.count:
            recorder.discard()
        elif recorder is not None:
            recorder.check()
            notes.info(
                "%d masked replies are in %s; look at them before you send them to anybody",
                recorder.count,
                recorder.folder,
            )
