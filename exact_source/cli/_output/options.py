"""Options that several commands share, each spelled and explained once."""

from __future__ import annotations

from typing import Annotated

import typer

EXIT_USAGE = 2
CONNECTION, TARGET = "Connection", "Destination"


def complete_entities(incomplete: str) -> list[str]:
    """What a list of entities may go on with."""
    from ...catalogue.catalogue import load_catalogue

    head, comma, last = incomplete.rpartition(",")
    names = (*load_catalogue().entities, "all")
    return [f"{head}{comma}{name}" for name in names if name.startswith(last)]


def complete_region(incomplete: str) -> list[str]:
    """Countries."""
    from ...settings import REGIONS

    return [name for name in REGIONS if name.startswith(incomplete)]


def complete_destination(incomplete: str) -> list[str]:
    """Kinds of databases."""
    kinds = ("duckdb", "duckdb:", "postgres", "postgresql://", "bigquery")
    return [kind for kind in kinds if kind.startswith(incomplete)]


def help_without_command(context: typer.Context) -> None:
    """Show the help where commands are to be named and none was, and leave."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(EXIT_USAGE)


Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="nl|be|de|uk|us|es|fr",
        autocompletion=complete_region,
        help="Country of the Exact Online site. Default: as configured, else nl.",
        rich_help_panel=CONNECTION,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Address of the site instead of --region; plain http for loopback only.",
        rich_help_panel=CONNECTION,
    ),
]
Destination = Annotated[
    str,
    typer.Option(
        "--destination",
        metavar="WHERE",
        autocompletion=complete_destination,
        help=(
            "duckdb, duckdb:PATH, postgres, postgresql://USER@HOST/DATABASE or bigquery; "
            "credentials come from .dlt/secrets.toml or the environment. "
            "Default: as init set it, else duckdb."
        ),
        show_default=False,
        rich_help_panel=TARGET,
    ),
]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Schema (BigQuery: dataset) that holds the tables.",
        rich_help_panel=TARGET,
    ),
]
PipelineName = Annotated[
    str,
    typer.Option(
        "--pipeline",
        metavar="NAME",
        help="Name of the dlt pipeline; cursors are kept under it.",
        rich_help_panel=TARGET,
    ),
]
Divisions = Annotated[
    str,
    typer.Option(
        "--divisions",
        metavar="CODES",
        help="Division codes such as 123456,234567, or all that the app may see.",
    ),
]
Entities = Annotated[
    str | None,
    typer.Option(
        "--entities",
        metavar="NAMES",
        autocompletion=complete_entities,
        help="Entities such as accounts,journals; all for every one. Default: the core set.",
    ),
]
StartBy = Annotated[
    str | None,
    typer.Option(
        "--start-by",
        metavar="modified|timestamp",
        help=(
            "How --start-date begins on sync feeds: modified reads all once and misses nothing; "
            "timestamp begins where Exact says, in fewer calls. Default: as configured, else modified."
        ),
        show_default=False,
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, and nothing else there.")
]

DATASET, PIPELINE = "exact_online", "exact_online"
DIVISIONS = "all"
