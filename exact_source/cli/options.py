"""Options that several commands share, each spelled and explained once."""

from __future__ import annotations

from typing import Annotated

import typer

CONNECTION, TARGET = "Connection", "Destination"

Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="nl|be|de|uk|us|es|fr",
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
        help=(
            "duckdb, duckdb:PATH, postgres, postgresql://USER@HOST/DATABASE or bigquery; "
            "credentials come from .dlt/secrets.toml or the environment."
        ),
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
        help="Entities such as accounts,journals; all for every one. Default: the core set.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, and nothing else there.")
]
Verbose = Annotated[
    int,
    typer.Option("--verbose", "-v", count=True, show_default=False, help="Say more; -vv for all."),
]

DESTINATION, DATASET, PIPELINE = "duckdb", "exact_online", "exact_online"
DIVISIONS = "all"
