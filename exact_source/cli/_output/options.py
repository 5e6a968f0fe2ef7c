"""Options that several commands share, each spelled and explained once."""

from __future__ import annotations

from typing import Annotated

import typer

from ...errors import ExitCode
from .start import SIGN

# Panels of ``--help``.
WHAT, ROWS, LIMITS, CONNECTION, TARGET, OUTPUT = (
    "What to read",
    "Rows and columns",
    "Limits",
    "Connection",
    "Destination",
    "Output",
)
DATASET, PIPELINE = "exact_online", "exact_online"


def complete_entities(incomplete: str) -> list[str]:
    """Completions of a list of entities."""
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
    """Show the help and exit with 2 if no command is named."""
    if context.invoked_subcommand is None:
        SIGN.erase()
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(ExitCode.USAGE)


Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="nl|be|de|uk|us|es|fr",
        autocompletion=complete_region,
        help="Country of the site. Default: as configured, else nl.",
        rich_help_panel=CONNECTION,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="Address of the site, instead of --region; http for loopback only.",
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
            "duckdb, duckdb:PATH, postgres, postgresql://USER@HOST/DATABASE or bigquery. "
            "Credentials come from .dlt/secrets.toml or the environment. "
            "Default: as configured, else duckdb."
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
        help="Schema of the tables; in BigQuery the dataset.",
        rich_help_panel=TARGET,
    ),
]
PipelineName = Annotated[
    str,
    typer.Option(
        "--pipeline",
        metavar="NAME",
        help="Name of the dlt pipeline, under which cursors are stored.",
        rich_help_panel=TARGET,
    ),
]
Divisions = Annotated[
    str,
    typer.Option(
        "--divisions",
        metavar="COMPANIES",
        help='Division codes or company names such as 123456,"Smit*", or all.',
        rich_help_panel=WHAT,
    ),
]
ExcludeDivisions = Annotated[
    str,
    typer.Option(
        "--exclude-divisions",
        metavar="COMPANIES",
        help="Division codes or company names to leave out.",
        show_default=False,
        rich_help_panel=WHAT,
    ),
]
Entities = Annotated[
    str | None,
    typer.Option(
        "--entities",
        metavar="NAMES",
        autocompletion=complete_entities,
        help="Entities such as accounts,journals, or all. Default: the core set.",
        rich_help_panel=WHAT,
    ),
]
LoadedEntities = Annotated[
    str | None,
    typer.Option(
        "--entities",
        metavar="NAMES",
        autocompletion=complete_entities,
        help="Entities such as accounts,journals. Default: all that were ever loaded.",
        rich_help_panel=WHAT,
    ),
]
Route = Annotated[
    list[str] | None,
    typer.Option(
        "--route",
        metavar="FEED",
        help="auto, sync, bulk or regular; or for one entity: accounts=regular.",
        rich_help_panel=WHAT,
    ),
]
StartDate = Annotated[
    str | None,
    typer.Option(
        "--start-date",
        metavar="DATE",
        help="Only rows that changed since this date, such as 2026-01-31.",
        rich_help_panel=WHAT,
    ),
]
StartBy = Annotated[
    str | None,
    typer.Option(
        "--start-by",
        metavar="modified|timestamp",
        help=(
            "How --start-date works on sync feeds. modified reads all rows once and misses none; "
            "timestamp makes fewer calls. Default: as configured, else modified."
        ),
        show_default=False,
        rich_help_panel=WHAT,
    ),
]
ReserveCalls = Annotated[
    int,
    typer.Option(
        "--reserve-calls",
        min=0,
        metavar="N",
        help="Calls a day in each company that are left to other programs of this app.",
        rich_help_panel=LIMITS,
    ),
]
ContractCap = Annotated[
    int | None,
    typer.Option(
        "--contract-cap",
        min=1,
        metavar="N",
        help="Most calls a day, over all companies together. Counts the calls of earlier syncs into the "
        "dataset and of plans on this machine, not those of other commands.",
        rich_help_panel=LIMITS,
    ),
]
AllStreams = Annotated[
    bool,
    typer.Option(
        "--all", help="Print a line for each entity of each company.", rich_help_panel=OUTPUT
    ),
]
OnlyProblems = Annotated[
    bool,
    typer.Option(
        "--problems",
        help="Print only the streams that did not complete, and why.",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=OUTPUT),
]


def parse_route(texts: list[str] | None) -> str | dict[str, str]:
    """``["bulk"]`` -> ``"bulk"``; ``["accounts=regular"]`` -> a mapping per entity."""
    if not texts:
        return "auto"
    if len(texts) == 1 and "=" not in texts[0]:
        return texts[0]
    return {name: route for name, _, route in (t.partition("=") for t in texts)}
