"""``make demo`` and what it leaves: a database, and a way on that works as it is printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from exact_source.cli.app import run
from exact_source.cli.demo import QUERIES, what_next
from tests.support.cli_fixtures import Cli
from tools.docs.demo_picture import PICTURE, drawn, shown

ROOT = Path(__file__).parents[2]
VENV = Path(sys.prefix)


@pytest.mark.nightly
def test_the_demo_shows_what_the_picture_does_and_ends_with_tables_for_plain_sql(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"

    code = run(["demo", "--folder", str(folder), "--invoices", "20"])

    out = capsys.readouterr().out
    assert code == 0
    database = folder / "exact.duckdb"
    assert_the_picture_shows(out.replace(str(folder), "/srv/books/demo"))
    assert f"The database: {database}\n" in out
    assert_the_calls_add_up(out)
    statements = re.findall(r"^SELECT.*?;", out, re.DOTALL | re.MULTILINE)
    assert statements == [sql for _, sql in QUERIES]
    with duckdb.connect(str(database), read_only=True) as connection:
        for sql in statements:
            assert connection.execute(sql).fetchall()
        assert ("Renamed & Co",) in connection.execute(
            "SELECT name FROM exact_online.accounts"
        ).fetchall()
    assert (folder / "tokens.json").stat().st_mode & 0o077 == 0


def assert_the_calls_add_up(out: str) -> None:
    """The calls of each table are those of the line below it."""
    tables = re.findall(
        r"^(entity .*?)^   complete: .*?([\d,]+) calls", out, re.DOTALL | re.MULTILINE
    )
    assert len(tables) == 2
    for table, total in tables:
        heading, *rows = table.splitlines()
        end = heading.index("calls") + len("calls")
        assert sum(int(row[:end].split()[-1].replace(",", "")) for row in rows) == int(
            total.replace(",", "")
        )


def assert_the_picture_shows(said: str) -> None:
    picture = drawn(PICTURE.read_text("utf-8"))
    assert len(picture) > 20
    assert [same(line) for line in picture] == [same(line) for line in shown(said)], (
        "run python -m tools.docs.demo_picture"
    )


def same(line: str) -> str:
    """A line without what differs from run to run: numbers, moments, and how wide they make columns."""
    return " ".join(re.sub(r"\d[\d,.:-]*", "0", line).split())


@pytest.mark.nightly
def test_the_demo_in_json_is_one_document_with_what_both_syncs_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"

    code = run(["demo", "--folder", str(folder), "--invoices", "20", "--json"])

    said = capsys.readouterr()
    told = json.loads(said.out)
    first, second = told["loads"]
    assert (code, first["status"], second["status"]) == (0, "complete", "complete")
    assert first["rows"] > second["rows"] > 0
    assert second["deleted"] == 1
    with duckdb.connect(told["database"], read_only=True) as connection:
        sql = f"SELECT count(*), count(DISTINCT division) FROM {told['dataset']}.transaction_lines"
        assert connection.execute(sql).fetchone() == tuple(told["tables"].values())
        for query in told["queries"]:
            assert connection.execute(query["sql"]).fetchall()
    assert re.findall(r"^(\d)\. ", said.err, re.MULTILINE) == ["1", "2", "3", "4"]


def test_make_demo_works_from_a_folder_and_prints_lines_that_can_be_run(tmp_path: Path) -> None:
    """The environment is the one that is here; that it is made is a matter of ``make proofs``."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(ROOT / name, tmp_path / name)
    here = tmp_path / ".venv"
    here.symlink_to(VENV)
    make = ["make", "--old-file", ".venv/.demo", "demo"]

    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "exact_online_demo/exact.duckdb").exists()
    question = next(line for line in done.stdout.splitlines() if "import duckdb" in line)
    answer = subprocess.run(
        shlex.split(question), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert "name" in answer.stdout
    for line in on(done.stdout):
        shown = subprocess.run(
            [*line[:2], "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert shown.returncode == 0, shown.stderr


def test_the_way_on_leads_to_tables(
    make_cli: Callable[..., Cli], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Followed word for word, with a sandbox in the place of Exact Online."""
    what_next(tmp_path / "demo")
    init, check, sync = on(capsys.readouterr().out)
    cli = make_cli(companies=1, invoices=1)
    box = cli.world.box
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI"):
        del os.environ[f"SOURCES__EXACT_ONLINE__{name}"]
    app = ["--client-id", box.client_id, "--client-secret", box.client_secret]

    made = cli(
        *init[1:],
        "--region=nl",
        *app,
        "--redirect-uri",
        box.redirect_uri,
        "--no-login",
        "--no-check",
    )
    checked, synced = cli(*check[1:]), cli(*sync[1:], "--entities=accounts")

    assert (made.code, synced.code) == (0, 0), made.err + synced.err
    assert "redirect_uri" not in checked.err
    with duckdb.connect("exact.duckdb", read_only=True) as connection:
        assert connection.execute("SELECT count(*) > 0 FROM exact_online.accounts").fetchall() == [
            (True,)
        ]


def on(out: str) -> list[list[str]]:
    """The commands at the end of the demo, without their remarks."""
    lines = out[out.index("Your own companies") :].splitlines()
    found = [shlex.split(line, comments=True) for line in lines if line.startswith("  ")]
    assert [line[1] for line in found] == ["init", "check", "sync"]
    return found


@pytest.mark.skipif(not os.environ.get("EXACT_TEST_PROOFS"), reason="make proofs runs it")
def test_make_demo_makes_its_environment_on_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    python = f"PYTHON={getattr(sys, '_base_executable', sys.executable)}"

    first = subprocess.run(
        ["make", python, "demo"], cwd=clone, capture_output=True, text=True, check=False
    )
    second = subprocess.run(
        ["make", python, "demo"], cwd=clone, capture_output=True, text=True, check=False
    )

    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "What next" in second.stdout
    assert ".venv/bin/exact-source init" in second.stdout
    assert "pip install" not in second.stdout
