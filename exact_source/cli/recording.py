"""The option ``--record``: keeps the replies of a run, masked."""

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
    """What sees each reply, if they are recorded."""
    return None if recorder is None else recorder.observe


@contextmanager
def checked(recorder: Recorder | None) -> Iterator[None]:
    """Prove at the end, however it comes, that everything that was recorded is masked.

    Raises:
        ConfigurationError: If something is not.
    """
    try:
        yield
    finally:
        if recorder is not None:
            recorder.check()
            notes.info(
                "%d masked replies are in %s; look at them before you send them to anybody",
                recorder.count,
                recorder.folder,
            )
