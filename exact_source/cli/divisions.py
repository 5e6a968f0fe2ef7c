"""``exact-source divisions``: the companies that the app may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import RefusedError
from ._output.options import CONNECTION, OUTPUT, AsJson, BaseUrl, Region
from ._output.tables import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from ..connect import ReadOnlyRun

# ``BlockingStatus`` (API 5).
BLOCKING = {
    -1: "for an unknown reason",  # engine.divisions.STATUS_UNKNOWN, whose import would slow down --help
    0: "",
    1: "backup",
    2: "conversion busy",
    3: "conversion shadow",
    4: "conversion waiting",
    5: "copy data waiting",
    6: "copy data busy",
    100: "wait for deletion",
    101: "deleted",
    102: "deletion failed",
}
COLUMNS = (
    Column("code"),
    Column("name"),
    Column("status"),
    Column("moved", rank=2),
    Column("current", rank=3),
    Column("country", rank=4),
    Column("currency", rank=5),
    Column("customer", rank=1),
)
MOST_COMPANIES = 30  # lines of the list; --all shows every company


def parse_code(text: str | int) -> int:
    """The code of a company that an option names.

    Raises:
        typer.BadParameter: If it is not a number.
    """
    if not str(text).strip().isdecimal():
        raise typer.BadParameter(f"{text!r} is not the code of a company, such as 123456")
    return int(text)


def divisions(
    context: typer.Context,
    via: Annotated[
        int | None,
        typer.Option(
            metavar="CODE",
            parser=parse_code,
            help="Ask through this division, if the user's current one is outside the app's scope.",
            rich_help_panel=CONNECTION,
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="List every company, however many there are.", rich_help_panel=OUTPUT
        ),
    ] = False,
    region: Region = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """List the companies (divisions) that the app and the user can see.

    Makes two calls, and one more for each further 60 companies.

    Example: exact-source divisions --json
    """
    import asyncio

    from ..client.retry import FEW_ATTEMPTS
    from ..connect import make_read_only_run
    from ..source import make_options
    from ._output.display import asking
    from ._output.tables import print_json
    from .connect import clock_of, make_connection

    settings, storage = make_connection(region, base_url)
    options = make_options(divisions="all" if via is None else [via])
    run = make_read_only_run(options, settings, storage, clock_of(context), attempts=FEW_ATTEMPTS)
    with asking(run):
        found = asyncio.run(read_list(run))
    if as_json:
        print_json({"divisions": found})
        return
    show(found, every=every)


def show(found: Sequence[Mapping[str, Any]], *, every: bool) -> None:
    """Print the list; if it is long, the blocked companies and the first others."""
    from ._output.tables import make_console, print_table, styled

    console = make_console()
    shown = list(found)
    if not every and len(found) > MOST_COMPANIES:
        shown.sort(key=lambda row: (row["blocking_status"] == 0, row["code"]))
        shown = shown[: MOST_COMPANIES - 1]
    rows = []
    for row in shown:
        state = styled(row["status"], "red" if row["blocking_status"] else "green")
        values = {**row, "code": str(row["code"]), "status": state}
        rows.append([values[column.name] for column in COLUMNS])
    print_table(console, COLUMNS, rows)
    if more := len(found) - len(shown):
        blocked = sum(row["blocking_status"] != 0 for row in found)
        of_them = f", {blocked:,} of them blocked" if blocked else ""
        console.print(
            f"and {more:,} more; {len(found):,} companies in all{of_them}; --all lists them all"
        )


async def read_list(run: ReadOnlyRun) -> list[dict[str, Any]]:
    """All divisions, by code.

    Raises:
        RefusedError: If the list may not be read.
    """
    async with run.connected():
        table, _ = await run.divisions.listed()
    if table is None:
        raise RefusedError(
            "system/Divisions: Exact Online refused the list of divisions; give the app the scope "
            "Organization administration",
            status=403,
        )
    return sorted(describe(table), key=lambda row: row["code"])


def describe(table: pa.Table) -> list[dict[str, Any]]:
    """One plain document for each row of ``system/Divisions``."""
    from ..auth.masking import clean_text

    return [
        {
            "code": row["division"],
            "name": clean_text(row["description"] or ""),
            "status": status_text(row["blocking_status"] or 0),
            "blocking_status": row["blocking_status"] or 0,
            "moved": _day(row["division_move_date"]),
            "archived": _day(row["archive_date"]),
            "current": bool(row["current"]),
            "country": row["country"],
            "currency": row["currency"],
            "customer": row["customer_name"] and clean_text(row["customer_name"]),
        }
        for row in table.to_pylist()
    ]


def status_text(blocking_status: int) -> str:
    """The meaning of a ``BlockingStatus``: ``open``, or the reason why the division is blocked."""
    if blocking_status == 0:
        return "open"
    return f"blocked: {BLOCKING.get(blocking_status, f'BlockingStatus {blocking_status}')}"


def _day(moment: Any) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
