"""``exact-source verify --books``: compares the loaded books with Exact Online's own figures."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from ..wording import plural
from ._output.logs import notes
from ._output.tables import Column, print_json

if TYPE_CHECKING:
    import dlt

    from ..connect import ReadOnlyRun
    from ..verify.books import Comparison

EXIT_DIFFERENT = 1
COLUMNS = (
    Column("compared"),
    Column("table"),
    Column("year", right=True),
    Column("period", right=True),
    Column("ledger account", rank=2),
    Column("account", rank=1),
    Column("ours", right=True),
    Column("Exact's", right=True),
    Column("difference", right=True),
    Column("likely cause", wraps=True),
)
MOST_SHOWN = 50


def verify_books(
    run: ReadOnlyRun, pipeline: dlt.Pipeline, division: int, *, as_json: bool, yes: bool
) -> None:
    """Compare and show.

    Raises:
        typer.Exit: With 1 if a figure differs, or if nothing could be compared.
    """
    from ..verify.books import document

    _agree(division, yes=yes)
    found = compare(run, pipeline, division)
    exit_code = EXIT_DIFFERENT if found.differences or not found.compared else 0
    if as_json:
        print_json({**document(found), "exit_code": exit_code})
    else:
        show(found)
    if exit_code:
        raise typer.Exit(exit_code)


def _agree(division: int, *, yes: bool) -> None:
    from ..verify.books import BALANCE_YEARS

    notes.info(
        "verify --books makes one call on company %d for each loaded entity, and one for each page of "
        "its balances of %d years, and of its open items; it changes nothing",
        division,
        BALANCE_YEARS,
    )
    if not yes:
        typer.confirm("Go on", abort=True, err=True)


def compare(run: ReadOnlyRun, pipeline: dlt.Pipeline, division: int) -> Comparison:
    """The comparison of one company.

    Raises:
        ConfigurationError: If nothing has been synced yet.
    """
    from ..clock import dutch_day
    from ..errors import ConfigurationError
    from ..verify.books import compare_books
    from ..verify.loaded_books import LoadedBooks
    from ._output.database_errors import reaching
    from ._output.display import asking

    with reaching(pipeline), pipeline.sql_client() as client:
        pipeline.sync_destination()
        name: Any = pipeline.default_schema_name
        if not name or name not in pipeline.schemas:
            raise ConfigurationError(
                "verify --books: nothing was synced yet; run `exact-source sync`"
            )
        tables = list(pipeline.schemas[name].tables)
        with asking(run):
            books = LoadedBooks(client, division, dutch_day(run.now()))

            async def ask() -> Comparison:
                async with run.connected() as exact:
                    return await compare_books(exact, books, tables, run.connection.adaptations)

            return asyncio.run(ask())


def show(found: Comparison) -> None:
    """The differences as a table, and what was compared."""
    from ._output.tables import make_console, print_table

    rows = [
        [
            d.compared,
            d.entity,
            d.financial_year and str(d.financial_year),
            d.financial_period,
            d.gl_account_id,
            d.account_id,
            f"{d.ours:,.2f}",
            f"{d.theirs:,.2f}",
            f"{d.difference:,.2f}",
            d.cause,
        ]
        for d in sorted(found.differences, key=lambda d: -abs(d.difference))[:MOST_SHOWN]
    ]
    if rows:
        print_table(make_console(), COLUMNS, rows)
    if (more := len(found.differences) - len(rows)) > 0:
        notes.info("and %d smaller differences; --json lists all", more)
    for what, why in found.skipped.items():
        notes.info("not compared: %s: %s", what, why)
    numbers = ", ".join(f"{number:,} {what}" for what, number in found.compared.items())
    notes.info(
        "%s; compared %s, in %s",
        plural(len(found.differences), "difference"),
        numbers or "nothing",
        plural(found.calls, "call"),
    )
