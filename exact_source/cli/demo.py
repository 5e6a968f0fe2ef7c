"""``exact-source demo``: two syncs from a local Exact Online, without an account."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError
from ..extras import install_command
from ._output.command_line import from_here, own_command
from ._output.logs import notes
from ._output.options import AsJson
from ._output.start import start

if TYPE_CHECKING:
    from typing import Any

    import dlt

    from ..engine.run import Run
    from ..sandbox import Sandbox
    from ..settings import Settings
    from ..sync.outcome import Outcome

FOLDER = Path("exact_online_demo")
MARK = ".exact-source-demo"

QUERIES = (
    (
        "Revenue per company and year",
        """SELECT d.description AS company, l.financial_year, -sum(l.amount_dc) AS revenue
FROM exact_online.transaction_lines l
JOIN exact_online.divisions d USING (division)
WHERE l.gl_account_code LIKE '8%' AND l.type < 300 AND l.status IN (20, 50)
GROUP BY ALL ORDER BY ALL;""",
    ),
    (
        "Who owes us most",
        """SELECT division, account_name, sum(amount_dc) AS open
FROM exact_online.transaction_lines
WHERE gl_account_code = '1300' AND type < 300 AND status IN (20, 50)
GROUP BY ALL HAVING open > 0 ORDER BY open DESC LIMIT 5;""",
    ),
    (
        "What each sync did",
        """SELECT entity, feed, sum(calls) AS calls, sum(rows) AS rows
FROM exact_online._exact_syncs GROUP BY ALL ORDER BY calls DESC, entity;""",
    ),
)


def demo(
    invoices: Annotated[
        int, typer.Option(min=1, metavar="N", help="Sales invoices per company.")
    ] = 200,
    folder: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the files of the demo.")
    ] = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Load two companies from a local Exact Online, change them, and sync again.

    It needs no account. Example: exact-source demo
    """
    try:
        from ..sandbox import Sandbox
    except ImportError as error:
        raise ConfigurationError(
            f"the demo needs {error.name}; install it with: {install_command('sandbox')}"
        ) from None
    prepare(folder)
    start()
    say = notes.info if as_json else typer.echo
    say("1. Start a local Exact Online with two companies, and log in.")
    box = Sandbox(companies=2, invoices=invoices, seed=1)
    with box.serve() as base_url:
        settings = log_in(box, base_url, folder)
        pipeline = make_pipeline(folder)
        say("2. First sync: everything.")
        loads = [load(pipeline, settings, as_json=as_json)]
        changes = change(box)
        say("3. In Exact Online, rename an account, delete another, and change a price.")
        before = look_at(pipeline, changes)
        say("4. Second sync: only what changed.")
        loads.append(load(pipeline, settings, as_json=as_json))
    after, counts = look_at(pipeline, changes), count_lines(pipeline)
    check(changes, after)
    if as_json:
        print_result(folder, loads, counts)
        return
    say("5. The tables show the changes.")
    show_changes(changes, before, after)
    say(f"   {counts['transaction_lines']:,} transaction lines of {counts['companies']} companies.")
    show_answer(pipeline)
    what_next(folder)


def print_result(folder: Path, loads: list[dict[str, Any]], tables: dict[str, int]) -> None:
    """Print one document: the place of the tables, the results of both syncs, and queries."""
    from ._output.tables import print_json

    print_json(
        {
            "database": str(folder / "exact.duckdb"),
            "dataset": "exact_online",
            "loads": loads,
            "tables": tables,
            "queries": [{"title": title, "sql": sql} for title, sql in QUERIES],
        }
    )


def prepare(folder: Path) -> None:
    """An empty folder; only a folder of an earlier demo is emptied.

    Raises:
        ConfigurationError: If the folder contains anything else, or cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            if not (folder / MARK).exists():
                raise ConfigurationError(
                    f"--folder {folder} is not empty and not from a demo; name another"
                )
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        raise ConfigurationError(
            f"--folder {folder} cannot be used: {error.strerror}; name another"
        ) from None


def log_in(box: Sandbox, base_url: str, folder: Path) -> Settings:
    """The authorization-code flow against the sandbox."""
    import asyncio

    from ..auth import FileTokenStorage
    from ..connect import make_oauth
    from ..settings import Settings

    settings = Settings(
        base_url=base_url,
        client_id=box.client_id,
        client_secret=box.client_secret,
        redirect_uri=box.redirect_uri,
        token_file=str(folder / "tokens.json"),
    )
    oauth = make_oauth(settings, FileTokenStorage(settings.token_file))
    asyncio.run(oauth.exchange(box.login()["redirect_url"]))
    return settings


def make_pipeline(folder: Path) -> dlt.Pipeline:
    """A pipeline whose working files stay in the demo's folder."""
    import os

    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    import dlt

    return dlt.pipeline(
        "exact_online_demo",
        destination=dlt.destinations.duckdb(str(folder / "exact.duckdb")),
        dataset_name="exact_online",
        pipelines_dir=str(folder / "pipelines"),
    )


def load(pipeline: dlt.Pipeline, settings: Settings, *, as_json: bool = False) -> dict[str, Any]:
    """One sync of the core entities; returns the document of ``sync --json``, or prints a summary."""
    from rich.console import Console

    from ..auth import FileTokenStorage
    from ..catalogue import load_catalogue
    from ..source import make_options, make_run
    from ..sync.runner import sync
    from ._output.display import Display
    from ._output.outcome import closing_line, to_json

    run: Run = make_run(make_options(), settings, FileTokenStorage(settings.token_file))
    started = time.monotonic()
    with Display(Console(stderr=True)).follow(run) as on_round:
        outcome = sync(pipeline, run, load_catalogue().core, on_round=on_round)
    if outcome.exit_code:
        raise outcome.error or RuntimeError("the demo's sync did not complete")
    seconds = time.monotonic() - started
    if not as_json:
        show_changed(outcome)
        typer.echo(f"   {closing_line(outcome, seconds)}")
    return to_json(outcome, seconds)


def show_changed(outcome: Outcome) -> None:
    """The entities with new or deleted rows; the calls of the others are in the last line."""
    from ._output.streams import Sums, entity_table
    from ._output.tables import make_console

    changed = {r.entity for r in outcome.results if r.rows or r.deleted}
    sums = [
        Sums(r.entity, r.division, r.rows, r.calls, r.deleted)
        for r in outcome.results
        if r.entity in changed
    ]
    rest = outcome.calls - sum(s.calls for s in sums)
    entity_table(make_console(), sums, rest, "other entities, companies, etc.")


@dataclass(frozen=True)
class Change:
    """A row that the demo changes in Exact Online.

    Attributes:
        table: Table of the row.
        column: Changed column.
        key: ``id`` of the row.
        value: Value of the column after the change; ``None`` if the row is deleted.
    """

    table: str
    column: str
    key: str
    value: str | float | None


def change(box: Sandbox) -> tuple[Change, ...]:
    """Rename an account, delete another, and change a price."""
    division, renamed_to, price = box.divisions[0], "Renamed & Co", 12.34
    accounts, items = (
        sorted(box.rows(path, division), key=lambda row: str(row["Code"]))
        for path in ("crm/Accounts", "logistics/Items")
    )
    renamed, deleted, item = accounts[0]["ID"], accounts[-1]["ID"], items[0]["ID"]
    box.update("crm/Accounts", division, renamed, {"Name": renamed_to})
    box.delete("crm/Accounts", division, deleted)
    box.update("logistics/Items", division, item, {"CostPriceStandard": price})
    return (
        Change("accounts", "name", str(renamed), renamed_to),
        Change("accounts", "name", str(deleted), None),
        Change("items", "cost_price_standard", str(item), price),
    )


def look_at(pipeline: dlt.Pipeline, changes: Sequence[Change]) -> list[Any]:
    """The current value of each changed row in the tables; ``None`` if there is no row."""
    found: list[Any] = []
    with pipeline.sql_client() as client:
        for c in changes:
            rows = client.execute_sql(f"SELECT {c.column} FROM {c.table} WHERE id = %s", c.key)
            found.append(rows[0][0] if rows else None)
    return found


def count_lines(pipeline: dlt.Pipeline) -> dict[str, int]:
    """The number of transaction lines and of their companies in the tables."""
    sql = "SELECT count(*), count(DISTINCT division) FROM transaction_lines"
    with pipeline.sql_client() as client:
        lines, companies = (client.execute_sql(sql) or [(0, 0)])[0]
    return {"transaction_lines": int(lines), "companies": int(companies)}


def check(changes: Sequence[Change], after: Sequence[Any]) -> None:
    """Make sure that the tables show the changes."""
    if [number(value) for value in after] != [c.value for c in changes]:
        raise RuntimeError("the tables do not show what changed in the companies")


def number(value: Any) -> Any:
    """A decimal as a float, as the changes are written."""
    return float(value) if isinstance(value, Decimal) else value


def show_changes(changes: Sequence[Change], before: Sequence[Any], after: Sequence[Any]) -> None:
    """The changed rows, before and after the second sync."""
    from ._output.tables import make_console, print_table

    rows = [
        (f"   {c.table}.{c.column}", number(old), "(deleted)" if new is None else number(new))
        for c, old, new in zip(changes, before, after, strict=True)
    ]
    print_table(make_console(), ("   column", "before", "after"), rows)


def show_answer(pipeline: dlt.Pipeline) -> None:
    """The first of the queries, with its answer."""
    from ._output.tables import Column, make_console, print_table

    title, sql = QUERIES[0]
    typer.echo(f"\n{title}")
    with pipeline.sql_client() as client:
        rows = client.execute_sql(sql.rstrip(";")) or []
    columns = (Column("company"), Column("year"), Column("revenue", right=True))
    print_table(make_console(), columns, [(n, str(y), f"{r:,.2f}") for n, y, r in rows])


def what_next(folder: Path) -> None:
    """Print the place of the file, example queries, and the steps to connect real companies."""
    database, python = folder / "exact.duckdb", from_here(Path(sys.executable))
    typer.echo(f"\nWhat next\n\nThe database: {database}\nQuery it, for example:")
    first = "SELECT name, city, country FROM exact_online.accounts LIMIT 5"
    typer.echo(
        f"  {python} -c \"import duckdb; print(duckdb.connect('{database}').sql('{first}'))\""
    )
    for title, sql in QUERIES:
        typer.echo(f"\n-- {title}\n{sql}")
    command = own_command()
    typer.echo(
        "\nYour own companies: register an app in Exact Online's app centre, with an\n"
        "https redirect URI (not localhost), then\n"
        f"  {command} init     # asks for the settings and logs in\n"
        f"  {command} check    # says what to do about what is missing\n"
        f"  {command} sync --destination duckdb"
    )
