"""``exact-source report``: the books on one page."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from ..clock import local_time
from ..errors import ConfigurationError
from ..extras import install_command
from ..wording import plural
from ._output.options import (
    AsJson,
    Dataset,
    Destination,
    Divisions,
    ExcludeDivisions,
    PipelineName,
)

OUTPUT = Path("exact-online.html")
MARTS = "exact_finance"


def report(  # noqa: PLR0913, PLR0917 (options of a command)
    context: typer.Context,
    destination: Destination = "",
    dataset: Dataset = "exact_online",
    pipeline_name: PipelineName = "exact_online",
    divisions: Divisions = "all",
    exclude_divisions: ExcludeDivisions = "",
    language: Annotated[
        str,
        typer.Option(metavar="en|nl", help="Language of the page, its dates and numbers."),
    ] = "en",
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="HTML file to write.")
    ] = OUTPUT,
    marts: Annotated[
        str,
        typer.Option(
            metavar="SCHEMA",
            help=(
                "Schema of the tables that the dbt package built; they are used if they show the "
                "latest load."
            ),
        ),
    ] = MARTS,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="YYYY-MM-DD", help="Day of the report. Default: today."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the books on one HTML page: revenue, profit and loss, open items, customers.

    Reads the destination only; no call goes to Exact Online. The file needs no network and no
    server. It needs the extra report, and says how to install it if it is missing.

    Example: exact-source report --destination duckdb --output books.html
    """
    from .connect import clock_of, make_pipeline

    need_jinja2()

    from ..options import parse_companies
    from ..report.language import LANGUAGES
    from ..report.page import render_page
    from ..report.reading import read_figures
    from ._output.database_errors import reaching
    from ._output.stored_syncs import database_file
    from ._output.tables import print_json, print_line
    from .files import replace_file

    made_at = local_time(clock_of(context).now())
    day = made_at.date() if as_of is None else parse_day(as_of)
    check_language(language)
    companies = parse_companies(divisions, exclude_divisions)
    pipeline = make_pipeline(destination, dataset, pipeline_name, read_only=True)
    file = database_file(pipeline)
    if file is not None and not file.exists():
        raise ConfigurationError(f"--destination duckdb: there is no {file}; run a sync first")
    with reaching(pipeline):
        figures = read_figures(pipeline, day=day, made_at=made_at, companies=companies, marts=marts)
    replace_file(output, render_page(figures, LANGUAGES[language]), "--output")
    if as_json:
        count = len(figures.companies)
        print_json({"file": str(output), "companies": count, "as_of": day.isoformat()})
    else:
        shown = plural(len(figures.companies), "company", "companies")
        print_line(f"{output}: {shown}, {day.isoformat()}")


def need_jinja2() -> None:
    """Make sure that the extra of the report is installed.

    Raises:
        ConfigurationError: If it is not; the message names it.
    """
    from .connect import is_installed

    if not is_installed("jinja2"):
        raise ConfigurationError(
            f"the report needs jinja2; install it with: {install_command('report')}"
        )


def check_language(code: str) -> None:
    """Refuse a language in which the page is not available.

    Raises:
        ConfigurationError: If it is not supported.
    """
    from ..report.language import LANGUAGES

    if code not in LANGUAGES:
        raise ConfigurationError(f"--language is {code!r}; use {' or '.join(LANGUAGES)}")


def parse_day(text: str) -> date:
    """A date.

    Raises:
        ConfigurationError: If it is not an ISO date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"--as-of is {text!r}; write it as YYYY-MM-DD, such as 2026-03-31"
        ) from None
