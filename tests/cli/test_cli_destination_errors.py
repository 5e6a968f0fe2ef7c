"""What a person reads if the destination cannot be used: one line, a code, and what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dlt
import duckdb
import psycopg2
import pytest

from exact_source.cli._output.database_errors import explain
from tests.support.cli_fixtures import Cli, Result, cli, make_cli

__all__ = ["cli", "make_cli"]

SOME = "--entities=journals"


def assert_one_line(result: Result, code: int, *words: str) -> None:
    """Drop the earlier output."""
    assert result.code == code, result.err
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert len(line) < 500
    for word in words:
        assert word in line


@pytest.fixture
def in_use(cli: Cli) -> Iterator[int]:
    """A DuckDB file that another process has open."""
    assert cli("sync", cli.destination, SOME).code == 0
    file = cli.destination.partition("duckdb:")[2]
    program = f"import duckdb, sys; c = duckdb.connect({file!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process.pid
        process.kill()


def test_a_duckdb_file_in_use_names_the_process_that_has_it(cli: Cli, in_use: int) -> None:
    for command in ("status", "report", "plan"):
        assert_one_line(cli(command, cli.destination), 3, "duckdb", str(in_use))
    assert_one_line(cli("sync", cli.destination, SOME), 3, "DuckDB file open")
    found = cli("check", cli.destination, SOME)
    assert_one_line(found, 3, "duckdb", str(in_use))
    assert max(map(len, found.out.splitlines())) < 300


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_reading_needs_no_right_to_write(cli: Cli) -> None:
    assert cli("sync", cli.destination, SOME).code == 0
    file = Path(cli.destination.partition("duckdb:")[2])
    file.chmod(0o400)

    assert cli("status", cli.destination).code == 0
    assert_one_line(cli("check", cli.destination, SOME), 1, str(file))


def test_status_leaves_the_file_as_it_is(cli: Cli) -> None:
    assert cli("sync", cli.destination, SOME).code == 0
    file = Path(cli.destination.partition("duckdb:")[2])
    before = file.stat()
    with duckdb.connect(str(file), read_only=True):  # which refuses a second connection that writes
        assert cli("status", cli.destination).code == 0
        assert cli("check", cli.destination, SOME).code == 0

    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_a_file_with_the_name_of_the_dataset_is_refused_before_it_is_made(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "exact_online.duckdb"

    for command in ("sync", "status", "check"):
        assert_one_line(cli(command, f"--destination=duckdb:{file}"), 2, "exact_online")
    assert not file.exists()


def test_a_server_that_does_not_answer_is_one_line_in_every_command(cli: Cli) -> None:
    where = "--destination=postgresql://me:hush-5ecret@127.0.0.1:1/books"

    for command in ("status", "check", "sync", "report", "plan"):
        result = cli(command, where, *([SOME] if command in {"sync", "plan", "check"} else []))
        assert_one_line(result, 1, "postgres", "127.0.0.1", "start the server")
        assert "hush" not in result.err + result.out


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda url: url.replace("//", "//nobody:hush-5ecret@", 1) if "@" not in url else url, ""),
        (lambda url: f"{url.rpartition('/')[0]}/no_such_database", "no_such_database"),
    ],
    ids=["user", "database"],
)
def test_postgres_that_refuses_is_one_line(
    cli: Cli, postgres: str, change: object, word: str
) -> None:
    assert callable(change)
    url = change(postgres)
    if url == postgres:
        pytest.skip("the server takes every user")

    result = cli("sync", f"--destination={url}", SOME)

    assert_one_line(result, 1, "postgres", word)
    assert "hush" not in result.err


@pytest.mark.parametrize(
    ("error", "code", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/srv/x"), "destination", "make room"),
        (duckdb.IOException('IO Error: Could not write file "x.wal": No space left on device'),
         "destination", "make room"),
        (psycopg2.OperationalError('could not extend file "base/1": No space left on device'),
         "destination", "make room"),
        (OSError(errno.EROFS, "Read-only file system", "/srv/x"), "destination", "right to write"),
        (psycopg2.errors.InsufficientPrivilege("permission denied for schema books"),
         "destination", "grant"),
        (psycopg2.OperationalError('FATAL:  password authentication failed for user "me"'),
         "destination", "credentials"),
        (duckdb.IOException("IO Error: Could not set lock on file x: Conflicting lock is held in "
                            "/usr/bin/python3 (PID 4711). See also"), "held", "4711"),
    ],
)  # fmt: skip
def test_every_kind_has_a_code_and_a_remedy(error: Exception, code: str, remedy: str) -> None:
    wrapped = RuntimeError("what dlt says, at length")
    wrapped.__cause__ = error

    found = explain(dlt.pipeline("explained", destination="duckdb"), wrapped)

    assert found.code == code
    assert remedy in str(found)
    assert "at length" not in str(found)


def test_a_load_that_the_database_refuses_is_one_line_without_tracebacks(cli: Cli) -> None:
    """Dlt's own reports on its jobs, with tracebacks in them, stay away."""
    assert cli("sync", cli.destination, SOME).code == 0
    with duckdb.connect(cli.destination.partition("duckdb:")[2]) as database:
        database.execute("CREATE UNIQUE INDEX one ON exact_online.journals (division, code)")
    box, division = cli.world.box, cli.world.division
    key = box.rows("financial/Journals", division)[0]["Code"]
    box.insert("financial/Journals", division, {"Code": key, "Description": "twice"})
    cli.world.clock.sandbox.advance(700)

    done = subprocess.run(
        [sys.executable, "-m", "exact_source", "sync", cli.destination, SOME, "-vv"],
        capture_output=True, text=True, check=False, timeout=100,
        env=os.environ | {"RUNTIME__LOG_LEVEL": "WARNING"},
    )  # fmt: skip

    errors = [line for line in done.stderr.splitlines() if line.startswith(("error", "warning"))]
    assert done.returncode == 1, done.stderr
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "duckdb.ConstraintException" in errors[0]
    assert f"{division}" not in errors[0]  # DuckDB quotes the key
    (kept,) = Path(errors[0].rpartition(" see ")[2]).glob("journals.*.exception")
    assert f"{division}" in kept.read_text()
