"""The project of a command: the folder of its settings and working files.

Like git, a command looks for its project from the current folder upward: the project is the nearest folder
with ``.dlt`` in it. dlt names the working folder of a pipeline only after the pipeline, in one place for all
projects of a user, so two projects would share cursors, waiting packages and a lock. The commands therefore
use a separate place for each project. In a dlt workspace, which has its own place already, dlt's rule holds.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, nullcontext, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from ._output.start import start
from .settings_files import GIVEN, SETTINGS, check_settings_files
from .settings_options import COMMANDS, with_settings

OWN_PLACE = "exact_source"  # beside dlt's ``pipelines``
# Commands that need no settings.
WITHOUT_PROJECT = {"demo", "sandbox", "schema"}


def find_project(start: Path) -> Path | None:
    """The nearest folder with settings, from ``start`` upward; dlt's global settings do not count."""
    for folder in (start, *start.parents):
        is_global = folder == Path.home() and folder != start
        if (folder / SETTINGS).is_dir() and not is_global:
            return folder
    return None


def project_folder() -> Path:
    """The folder of the project; the current folder if there are no settings yet."""
    here = Path.cwd()
    given = os.environ.get(GIVEN)
    return Path(given).resolve() if given else find_project(here) or here


@contextmanager
def in_project() -> Iterator[Path]:
    """Work in the folder of the project until the block ends; yields the user's folder."""
    here = Path.cwd()
    with chdir(here if os.environ.get(GIVEN) else project_folder()):
        yield here


def prepared(command: Callable[..., None]) -> Callable[..., None]:
    """The command in the folder of its project, after the settings files were checked."""

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        if command.__name__ in WITHOUT_PROJECT:
            command(**arguments)
            return
        with nullcontext(Path.cwd()) if command.__name__ == "init" else in_project() as here:
            check_settings_files()
            start()
            given = {name: seen_from(here, name, value) for name, value in arguments.items()}
            if command.__name__ in COMMANDS:
                given = with_settings(arguments["context"], given)
            command(**given)

    return wrapped


def seen_from(here: Path, name: str, value: Any) -> Any:
    """The value of an option, with a relative path based on the user's folder."""
    if isinstance(value, Path):
        return here / value.expanduser()
    if name == "destination" and isinstance(value, str) and value.startswith("duckdb:"):
        path = value.removeprefix("duckdb:")
        return f"duckdb:{here / Path(path).expanduser()}" if path else value
    return value


def pipelines_folder(name: str) -> str:
    """The parent folder of a pipeline's working folder.

    A working folder that this project created earlier in dlt's own place stays in use.
    """
    import dlt
    from dlt.common.configuration.specs.pluggable_run_context import ProfilesRunContext
    from dlt.common.pipeline import get_dlt_pipelines_dir

    context = dlt.current.run_context()
    shared, project = Path(get_dlt_pipelines_dir()), project_folder()
    if isinstance(context, ProfilesRunContext):
        return str(shared)
    own = Path(context.get_data_entity(OWN_PLACE)).absolute() / label_of(project)
    was_here = first_folder(shared / name) in {project, Path.cwd()}
    return str(shared if was_here and not (own / name).exists() else own)


def label_of(project: Path) -> str:
    """A folder name that is unique to the project: ``books-1a2b3c4d``."""
    return f"{project.name}-{sha256(str(project).encode()).hexdigest()[:8]}"


def first_folder(working_folder: Path) -> Path | None:
    """The folder in which a pipeline ran first, according to dlt; ``None`` if dlt has no record."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        state = json.loads((working_folder / "state.json").read_bytes())
        return Path(state["_local"]["initial_cwd"])
    return None
