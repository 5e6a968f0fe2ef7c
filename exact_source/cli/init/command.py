"""Options of ``exact-source init``, its output, and the steps that may follow."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from ...errors import ExactError
from ...settings import REGIONS, SECTION
from .._output.command_line import own_command
from .._output.logs import notes
from .._output.options import AsJson
from ..project import find_project

STDIN = "-"


def init(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    region: Annotated[
        str | None, typer.Option(metavar="|".join(REGIONS), help="Country of the site.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Client id of the app.")
    ] = None,
    client_secret: Annotated[
        str | None,
        typer.Option(metavar="SECRET", help="Client secret; - reads it from standard input."),
    ] = None,
    redirect_uri: Annotated[
        str | None, typer.Option(metavar="URI", help="Redirect URI, exactly as registered.")
    ] = None,
    destination: Annotated[
        str | None,
        typer.Option(
            metavar="WHERE",
            help="duckdb, duckdb:PATH, postgres, postgresql://USER@HOST/DATABASE or bigquery.",
        ),
    ] = None,
    bigquery_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON key of a service account for BigQuery; it is copied into secrets.toml.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let options change existing settings.")
    ] = False,
    log_in: Annotated[
        bool | None, typer.Option("--login/--no-login", help="Log in afterwards. Default: ask.")
    ] = None,
    check: Annotated[
        bool | None, typer.Option("--check/--no-check", help="Check afterwards. Default: ask.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the settings of this folder, then log in and check.

    Asks for every setting that is not given as an option; without a terminal all must be given.
    Settings go into .dlt/config.toml, secrets into .dlt/secrets.toml, which only you can read and
    git ignores. Other settings in these files stay.

    Example: exact-source init --region nl --client-id ID --client-secret - --redirect-uri https://x.example/
    """
    from .._output.tables import print_json
    from .questions import wanted
    from .toml_files import reload_settings, settings_folder

    given = {
        "region": region,
        "client_id": client_id,
        "client_secret": sys.stdin.readline() if client_secret == STDIN else client_secret,
        "redirect_uri": redirect_uri,
    }
    folder, asks = settings_folder(), sys.stdin.isatty()
    note_project_above(folder)
    destination, changed = write_settings(
        folder, given, destination, bigquery_key, asks=asks, replace=replace
    )
    if not as_json:
        show(folder, changed)
    reload_settings()
    steps = Steps(context, destination, as_json=as_json)
    try:
        logged_in = wanted(log_in, "Log in now?", asks=asks) and steps.log_in()
    except ExactError:
        notes.info(
            "the settings are written, but nobody is logged in; next: %s login", own_command()
        )
        raise
    checked = wanted(check, "Check everything?", asks=asks and logged_in) and steps.check()
    if as_json:
        written = {"folder": str(folder), "written": changed, "destination": destination}
        print_json(written | steps.results)
    elif not logged_in and not checked:
        _say_next(destination)
    raise typer.Exit(steps.code)


def _say_next(destination: str) -> None:
    from .destination import needs_credentials

    command = own_command()
    credentials = f"put [destination.{destination}.credentials] into .dlt/secrets.toml, then "
    first = credentials if needs_credentials(destination) else ""
    notes.info("next: %s%s login, then %s check and %s sync", first, command, command, command)


def note_project_above(folder: Path) -> None:
    """Print a note if a new project would be inside another one, whose settings it does not use.

    Args:
        folder: Folder of the new settings.
    """
    above = find_project(folder.absolute().parent)
    if above is not None and not folder.is_dir():
        notes.warning(
            "note: this makes a new project inside the project in %s, with tokens and tables of its own; "
            "to use that one, delete %s",
            above,
            folder.absolute(),
        )


def write_settings(
    folder: Path,
    given: Mapping[str, str | None],
    destination: str | None,
    bigquery_key: Path | None,
    *,
    asks: bool,
    replace: bool,
) -> tuple[str, dict[str, list[str]]]:
    """Write the files; returns the destination, and the names of the new settings by file."""
    from .destination import where_to
    from .git import is_tracked
    from .settings import Answers
    from .toml_files import FILES, merge, read_toml, refuse_other, write

    before = {file: read_toml(folder / f"{file}.toml") for file in FILES}
    # The settings of a user must not change a file that a clone shares with its repository.
    config = "secrets" if is_tracked(folder / "config.toml") else "config"
    values = Answers(given, before, config=config, asks=asks, replace=replace).all()
    destination, entries = where_to(destination, bigquery_key, before, config=config, asks=asks)
    if not replace:
        refuse_other(before, entries)
    for setting, value in values.items():
        entries[setting.file, *SECTION.split("."), setting.name] = value
    changed = merge(before, entries)
    write(folder, before, changed)
    return destination, changed


def show(folder: Path, changed: Mapping[str, list[str]]) -> None:
    """Print the names of the new settings by file."""
    from .._output.tables import print_line

    for file, names in changed.items():
        what = f"wrote {', '.join(names)}" if names else "nothing to change"
        print_line(f"{folder / f'{file}.toml'}: {what}")


class Steps:
    """The steps that may follow: a login and a check.

    Args:
        context: Context of the command.
        destination: Destination to check.
        as_json: Collect their results for one document.

    Attributes:
        results: Their results by command.
        code: Exit code of the last one.
    """

    def __init__(self, context: typer.Context, destination: str, *, as_json: bool) -> None:
        self._context, self._destination, self._as_json = context, destination, as_json
        self.results: dict[str, Any] = {}
        self.code = 0

    def log_in(self) -> bool:
        """Ask for consent and store the tokens."""
        from ..login import login

        self._run(login)
        return True

    def check(self) -> bool:
        """Check everything that a sync needs."""
        from ..check import check

        self._run(check, destination=self._destination)
        return True

    def _run(self, command: Callable[..., None], **options: str) -> None:
        printed = io.StringIO()
        try:
            with redirect_stdout(printed) if self._as_json else nullcontext():
                command(self._context, **options, as_json=self._as_json)
        except typer.Exit as left:
            self.code = left.exit_code
        if self._as_json:
            self.results[command.__name__] = json.loads(printed.getvalue())
