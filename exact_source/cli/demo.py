"""``exact-source demo``: the whole story on one machine, without an account."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError
from ._output.logs import notes
from ._output.options import AsJson

if TYPE_CHECKING:
    from typing import Any

    import dlt

    from ..engine.run import Run
    from ..sandbox import Sandbox
    from ..settings import Settings
    from ..sync.runner import Outcome

FOLDER = Path("exact_online_demo")
MARK = ".exact-source-demo"

QUERIES = (
    (
        "Revenue per company and year",
        """SELECT division, financial_year, -sum(amount_dc) AS revenue
FROM exact_online.transaction_lines WHERE gl_account_code LIKE '8%'
GROUP BY ALL ORDER BY ALL;""",
    ),
    (
        "Who owes us most",
        """SELECT l.division, l.account_name, sum(l.amount_dc) AS open
FROM exact_online.transaction_lines l WHERE l.gl_account_code = '1300'
GROUP BY ALL HAVING open > 0 ORDER BY open DESC LIMIT 5;""",
    ),
    (
        "What each sync did",
        """SELECT entity, feed, sum(calls) AS calls, sum(rows) AS rows, max(ended_at) AS last
FROM exact_online._exact_syncs GROUP BY ALL ORDER BY calls DESC, entity;""",
    ),
)


def demo(
    invoices: Annotated[int, typer.Option(min=1, help="Sales invoices per company.")] = 200,
    folder: Annotated[Path, typer.Option(help="Where the demo puts its files.")] = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Start a local Exact Online, load two companies into DuckDB, change them, sync again.

    No account needed. Example: exact-source demo
    """
    try:
        from ..sandbox import Sandbox
    except ImportError as error:
        raise ConfigurationError(
            f"the demo needs {error.name}; install it with: pip install 'exact-source[sandbox]'"
        ) from None
    prepare(folder)
    say = notes.info if as_json else typer.echo
    say("1. A local Exact Online with two companies starts.")
    box = Sandbox(companies=2, invoices=invoices, seed=1)
    with box.serve() as base_url:
        settings = log_in(box, base_url, folder)
        say(f"   {base_url}, logged in; the tokens are in {settings.token_file}")
        pipeline = make_pipeline(folder)
        say("2. First sync: everything.")
        loads = [load(pipeline, settings, as_json=as_json)]
        say("3. In the companies an account is renamed, one is deleted, an item's price changes.")
        changed = change(box)
        say("4. Second sync: only what changed.")
        loads.append(load(pipeline, settings, as_json=as_json))
    lines, companies = check(pipeline, changed)
    if as_json:
        print_result(folder, loads, {"transaction_lines": lines, "companies": companies})
        return
    say("5. The tables show it: the account is renamed, the deleted one is gone.")
    say(f"   {lines:,} transaction lines of {companies} companies are in DuckDB.")
    what_next(folder)


def print_result(folder: Path, loads: list[dict[str, Any]], tables: dict[str, int]) -> None:
    """One document: where the tables are, what both syncs did, what to ask."""
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
    """An empty folder; only one that an earlier demo made is emptied.

    Raises:
        ConfigurationError: If the folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).exists():
            raise ConfigurationError(
                f"--folder {folder} is not empty and not from a demo; name another"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def log_in(box: Sandbox, base_url: str, folder: Path) -> Settings:
    """The authorization-code flow against the sandbox."""
    import asyncio

    from ..auth import FileTokenStorage, OAuth
    from ..settings import Settings

    settings = Settings(
        base_url=base_url,
        client_id=box.client_id,
        client_secret=box.client_secret,
        redirect_uri=box.redirect_uri,
        token_file=str(folder / "tokens.json"),
    )
    oauth = OAuth(
        settings.client_id,
        settings.client_secret,
        settings.redirect_uri,
        FileTokenStorage(settings.token_file),
        base_url=base_url,
    )
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
    """One sync of the core entities; gives what ``sync --json`` would, or shows its summary."""
    from rich.console import Console

    from ..auth import FileTokenStorage
    from ..catalogue import load_catalogue
    from ..source import make_options, make_run
    from ..sync.runner import sync
    from ._output.display import Display, to_json

    run: Run = make_run(make_options(), settings, FileTokenStorage(settings.token_file))
    started = time.monotonic()
    with Display(Console(stderr=True)).follow(run) as on_round:
        outcome = sync(pipeline, run, load_catalogue().core, on_round=on_round)
    if not as_json:
        show(outcome)
    if outcome.exit_code:
        raise outcome.error or RuntimeError("the demo's sync did not complete")
    return to_json(outcome, time.monotonic() - started)


def show(outcome: Outcome) -> None:
    """What a sync did, stream by stream."""
    from ._output.display import remarks, result_console, summary

    result_console().print(summary(outcome))
    for line in remarks(outcome):
        typer.echo(line)


def change(box: Sandbox) -> tuple[int, str, str, str]:
    """Change, delete and touch rows; gives (division, renamed, new name, deleted)."""
    division = box.divisions[0]
    accounts = box.rows("crm/Accounts", division)
    items = box.rows("logistics/Items", division)
    renamed, gone = accounts[0], accounts[-1]
    box.update("crm/Accounts", division, renamed["ID"], {"Name": "Renamed & Co"})
    box.delete("crm/Accounts", division, gone["ID"])
    box.update("logistics/Items", division, items[0]["ID"], {"CostPriceStandard": 12.34})
    return division, str(renamed["ID"]), "Renamed & Co", str(gone["ID"])


def check(pipeline: dlt.Pipeline, changed: tuple[int, str, str, str]) -> tuple[int, int]:
    """See that the tables show what changed; gives how many lines of how many companies they hold."""
    division, renamed, name, gone = changed
    with pipeline.sql_client() as client:
        found = client.execute_sql(
            "SELECT id, name FROM accounts WHERE division = %s AND id IN (%s, %s)",
            division, renamed, gone,
        )  # fmt: skip
        counts = client.execute_sql(
            "SELECT count(*), count(DISTINCT division) FROM transaction_lines"
        )
    if list(found or ()) != [(renamed, name)]:
        raise RuntimeError("the tables do not show what changed in the companies")
    lines, companies = (counts or [(0, 0)])[0]
    return int(lines), int(companies)


def what_next(folder: Path) -> None:
    """Where the file is, what to ask it, how to connect the real thing."""
    database, python = folder / "exact.duckdb", from_here(Path(sys.executable))
    typer.echo(f"\nWhat next\n\nThe database: {database}\nAsk it, for example so:")
    first = "FROM exact_online.accounts LIMIT 5"
    typer.echo(
        f"  {python} -c \"import duckdb; print(duckdb.connect('{database}').sql('{first}'))\""
    )
    for title, sql in QUERIES:
        typer.echo(f"\n-- {title}\n{sql}")
    command = own_command()
    typer.echo(
        "\nYour own companies: register an app in Exact Online's app centre (redirect URI: https, no"
        "\nlocalhost), then\n"
        f"  {command} init     # asks for country, client id, secret, redirect URI; logs in\n"
        f"  {command} check    # says what is missing, and what to do about it\n"
        f"  {command} sync --destination duckdb"
    )


def own_command() -> str:
    """How this command is called from the folder that somebody is in, be it on the PATH or not."""
    beside = Path(sys.executable).with_name("exact-source")
    if not beside.exists():
        return f"{from_here(Path(sys.executable))} -m exact_source"
    on_path = shutil.which("exact-source")
    if on_path is not None and Path(on_path).samefile(beside):
        return "exact-source"
    return from_here(beside)


def from_here(path: Path) -> str:
    """A path as one types it: without the folder that somebody is in."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
