"""Creates the pipeline and the connection from the options."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..addresses import check_address
from ..clock import Clock, SystemClock
from ..destinations import make_destination, split_destination
from ..errors import ConfigurationError
from ..extras import driver_command, install_command
from ..settings import SECTION
from .project import pipelines_folder, project_folder
from .settings_files import SETTINGS

if TYPE_CHECKING:
    import dlt

    from ..auth.storage.from_settings import BuiltInStorage
    from ..settings import Settings

USUAL = ("duckdb", "postgres", "bigquery")
# Database -> dlt's destination for it.
ALIASES = {
    "mariadb": "sqlalchemy",
    "mysql": "sqlalchemy",
    "sqlite": "sqlalchemy",
    "sqlserver": "mssql",
}
# Extra -> its modules; without ADBC dlt turns parquet into INSERT statements on Postgres.
EXTRAS = {
    "postgres": ("psycopg2", "adbc_driver_postgresql"),
    "bigquery": ("google.cloud.bigquery",),
}


def make_pipeline(
    destination: str, dataset: str, name: str, *, read_only: bool = False
) -> dlt.Pipeline:
    """The dlt pipeline of this project; nothing is sent or created at the destination.

    Args:
        destination: ``duckdb:PATH``, ``postgresql://...``, ``filesystem:URL`` or the name of a dlt
            destination; empty for the one that ``exact-source init`` stored, otherwise ``duckdb``.
        dataset: Schema of the tables.
        name: Pipeline name.
        read_only: Open a DuckDB file for reading, which works without the right to write.

    Raises:
        ConfigurationError: If the destination is unknown or its extra is not installed, or if dlt
            does not accept a name.
    """
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    check_dataset(dataset)
    import dlt

    noted: Any = dlt.config.get(f"{SECTION}.destination")
    kind, place = parse_destination(destination or noted or "duckdb")
    need_extra(kind)
    from dlt.common.configuration.exceptions import ConfigurationException
    from dlt.pipeline.exceptions import InvalidPipelineName

    from ..loading.working_folder import remove_damaged_folder

    try:
        folder = pipelines_folder(name)
        remove_damaged_folder(name, folder)
        target = make_destination(kind, place, "--destination")
        if kind == "duckdb" and not isinstance(target, str):
            target = duckdb_file(target, dataset, read_only=read_only)
        return dlt.pipeline(name, pipelines_dir=folder, destination=target, dataset_name=dataset)
    except InvalidPipelineName:
        raise ConfigurationError(
            f"--pipeline is {name!r}; use letters, digits, - and _ only"
        ) from None
    except ConfigurationException as error:
        raise ConfigurationError(f"--destination {kind}: {' '.join(str(error).split())}") from None


def duckdb_file(target: Any, dataset: str, *, read_only: bool) -> Any:
    """The destination of a DuckDB file, opened for reading if that is enough.

    Raises:
        ConfigurationError: If the file has the name of the dataset, before the file is created.
    """
    import dlt
    from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

    path = target.config_params["credentials"]
    if Path(path).stem.lower() == dataset.lower():
        raise ConfigurationError(
            f"--destination duckdb: the file and the dataset are both called {dataset}, which DuckDB "
            "cannot tell apart; name another file"
        )
    if not read_only:
        return target
    credentials = DuckDbCredentials(path)
    credentials.read_only = True
    return dlt.destinations.duckdb(credentials)


def check_dataset(name: str) -> None:
    """Refuse a name that dlt would change, or that a database would misread.

    Raises:
        ConfigurationError: If it is such a name.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigurationError(
            f"--dataset is {name!r}; use letters, digits and _ only, and do not start with a digit"
        )


def parse_destination(destination: str) -> tuple[str, str]:
    """The kind of database and its place, which is empty if dlt's configuration has it.

    Raises:
        ConfigurationError: If it has none of the known forms.
    """
    if destination in USUAL:
        return destination, ""
    kind, place = split_destination(destination)
    if kind == "duckdb" and place:
        return kind, place
    if kind == "postgres" and place:
        check_address(place, "--destination")
        return kind, place
    if kind == "filesystem" and place:
        return kind, place
    # The option may be a mistyped URL with a password, so only the part before the colon is shown.
    word = destination.split(":", 1)[0][:40]
    known = known_destinations()
    if destination in known:
        return destination, ""
    near = [ALIASES.get(word.lower()), *get_close_matches(word.lower(), known, n=1)]
    if meant := next(filter(None, near), None):
        raise ConfigurationError(f"--destination {word!r} is unknown; did you mean {meant}?")
    raise ConfigurationError(
        f"--destination {word!r} is unknown; use duckdb:PATH, postgresql://USER@HOST/DATABASE, "
        f"filesystem:URL or one of {' '.join(known)}"
    )


def known_destinations() -> list[str]:
    """Names of the destinations of the installed dlt."""
    import dlt.destinations

    return sorted(set(dlt.destinations.__all__) - {"destination", "dummy"})


def need_extra(kind: str) -> None:
    """Make sure that the packages of a destination are installed.

    Raises:
        ConfigurationError: If one is not; the message says what to install.
    """
    if kind not in USUAL:
        _need_driver(kind)
    missing = [module for module in EXTRAS.get(kind, ()) if not is_installed(module)]
    if missing:
        raise ConfigurationError(
            f"--destination {kind} needs {', '.join(missing)}; "
            f"install it with: {install_command(kind)}"
        )


def _need_driver(kind: str) -> None:
    import dlt.destinations
    from dlt.common.exceptions import MissingDependencyException

    try:
        _ = getattr(dlt.destinations, kind)().client_class
    except (ImportError, MissingDependencyException):
        raise ConfigurationError(
            f"--destination {kind} needs its driver; install it with: {driver_command(kind)}"
        ) from None


def is_installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def make_connection(
    region: str | None, base_url: str | None, pipeline: dlt.Pipeline | None = None
) -> tuple[Settings, BuiltInStorage]:
    """The settings of the app, and its token storage.

    Args:
        region: Value of ``--region``; ``None`` for the configured one.
        base_url: Value of ``--base-url``; ``None`` for the configured one.
        pipeline: Its destination stores the tokens if ``token_storage`` is ``dlt`` and
            ``token_destination`` is not set.

    Raises:
        ConfigurationError: If a setting is missing or wrong; the message names it.
    """
    from ..auth import storage_from_settings
    from ..settings import load_settings

    try:
        settings = load_settings(region=region, base_url=base_url)
    except ConfigurationError as error:
        raise with_folder(error) from None
    return settings, storage_from_settings(settings, pipeline)


def with_folder(error: ConfigurationError) -> ConfigurationError:
    """The error of a missing setting; it names the current folder if there are no settings at all."""
    if has_project():
        return error
    return ConfigurationError(f"{error}; there is no folder .dlt in {Path.cwd()} or above it")


def has_project() -> bool:
    """Whether there is a folder .dlt in the current folder or above it."""
    return (project_folder() / SETTINGS).is_dir()


def clock_of(context: typer.Context) -> Clock:
    """The clock that a test passes as the context's object, or the computer's own."""
    clock = context.obj
    if clock is not None and callable(getattr(clock, "now", None)):
        return clock  # type: ignore[no-any-return]
    return SystemClock()
