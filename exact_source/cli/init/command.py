"""Options of ``exact-source init``, what is shown of the files, and the steps that may follow."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from ...settings import REGIONS, SECTION
from .._output.logs import notes
from .._output.options import AsJson

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
    from .destination import where_to
    from .questions import wanted
    from .settings import Answers
    from .toml_files import (
        FILES,
        merge,
        read_toml,
        refuse_other,
        reload_settings,
        settings_folder,
        write,
    )

    given = {
        "region": region,
        "client_id": client_id,
        "client_secret": sys.stdin.readline() if client_secret == STDIN else client_secret,
        "redirect_uri": redirect_uri,
    }
    folder = settings_folder()
    before = {file: read_toml(folder / f"{file}.toml") for file in FILES}
    asks = sys.stdin.isatty()
    values = Answers(given, before, asks=asks, replace=replace).all()
    destination, entries = where_to(destination, bigquery_key, before, asks=asks)
    if not replace:
        refuse_other(before, entries)
    for setting, value in values.items():
        entries[setting.file, *SECTION.split("."), setting.name] = value
    changed = merge(before, entries)
    write(folder, before, changed)
    if not as_json:
        show(folder, changed)
    reload_settings()
    steps = Steps(context, destination, as_json=as_json)
    logged_in = wanted(log_in, "Log in now?", asks=asks) and steps.log_in()
    checked = wanted(check, "Check everything?", asks=asks and logged_in) and steps.check()
    if as_json:
        written = {"folder": str(folder), "written": changed, "destination": destination}
        print_json(written | steps.results)
    elif not logged_in and not checked:
        notes.info("next: exact-source login, exact-source check, exact-source sync")
    raise typer.Exit(steps.code)


def show(folder: Path, changed: Mapping[str, list[str]]) -> None:
    """What was written where."""
    for file, names in changed.items():
        what = f"wrote {', '.join(names)}" if names else "nothing to change"
        typer.echo(f"{folder / f'{file}.toml'}: {what}")


class Steps:
    """What may follow: a login and a check.

    Args:
        context: Of the command.
        destination: What to check.
        as_json: Keep what they print for one document.

    Attributes:
        results: What they printed, by command.
        code: The exit code that the last one wants.
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
        """Check all that a sync needs."""
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
