"""What a person reads if the destination cannot be used: one line, a code, and what to do."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import duckdb
import psycopg2
import pytest

from exact_source.cli._output.database_errors import explain
from exact_source.sandbox.server import serve
from tests.support.cli_fixtures import Cli, Result

SOME = "--entities=journals"


def assert_one_line(result: Result, code: int, *words: str) -> None:
    """Drop the earlier output."""
    assert result.code == code, result.err
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert len(line) < 500
    for word in words:
        assert word in line


@contextmanager
def opened_elsewhere(file: str, before: str = "", *, read_only: bool = False) -> Iterator[int]:
    """Let another process run a program, and then keep a DuckDB file open."""
    program = (
        f"import duckdb, sys\n{before}\n"
        f"c = duckdb.connect({file!r}, read_only={read_only}); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process.pid
        process.kill()


@pytest.fixture
def in_use(cli: Cli) -> Iterator[int]:
    """A DuckDB file that another process has open."""
    assert cli("sync", cli.destination, SOME).code == 0
    with opened_elsewhere(cli.destination.partition("duckdb:")[2]) as pid:
        yield pid


def test_a_duckdb_file_in_use_names_the_process_that_has_it(cli: Cli, in_use: int) -> None:
    for command in ("status", "report", "plan"):
        assert_one_line(cli(command, cli.destination), 3, "duckdb", str(in_use))
    assert_one_line(cli("sync", cli.destination, SOME), 3, "DuckDB file open", str(in_use))
    compared = cli(
        "verify", cli.destination, "--books", f"--division={cli.world.division}", "--yes"
    )
    assert compared.code == 3
    assert str(in_use) in compared.err.splitlines()[-1]
    found = cli("check", cli.destination, SOME)
    assert_one_line(found, 3, "duckdb", str(in_use))
    assert max(map(len, found.out.splitlines())) < 300


def test_a_sync_under_way_is_not_to_be_ended_by_other_commands(cli: Cli) -> None:
    assert cli("sync", cli.destination, SOME).code == 0
    file = cli.destination.partition("duckdb:")[2]
    taking = (
        "from pathlib import Path\n"
        "from exact_source.loading.writer import Writer\n"
        "from exact_source.loading.writer_lock import file_lock\n"
        f"path = Path({file!r}).resolve()\n"
        "lock = file_lock(path.with_name(f'.{path.name}.exact_online.lock'), Writer.of('books', 0.0))\n"
        "lock.__enter__()"
    )
    with opened_elsewhere(file, taking) as pid:
        for command in ("status", "report", "plan", "check"):
            found = cli(command, cli.destination)
            assert_one_line(found, 3, "pipeline books", f"process {pid}", "run again later")
            assert "close it" not in found.err


# Root without privileges: like any other user it needs the rights that a file grants.
ORDINARY = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()


def as_ordinary_user(*arguments: str) -> Result:
    if ORDINARY and shutil.which(ORDINARY[0]) is None:
        pytest.skip("no setpriv")
    command = [*ORDINARY, sys.executable, "-m", "exact_source", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.nightly
def test_reading_needs_no_right_to_write(cli: Cli, tmp_path: Path) -> None:
    cli.world.box.clock.set(time.time())
    cli.world.box.clock.run()
    cli.world.login()
    file = tmp_path / "books" / "exact.duckdb"
    file.parent.mkdir()
    destination = f"--destination=duckdb:{file}"
    assert cli("sync", destination, "--entities=gl_accounts,journals,transaction_lines").code == 0
    file.chmod(0o400)

    with cli.world.watch() as calls:
        refused = [as_ordinary_user(c, destination, SOME) for c in ("sync", "check")]
        file.parent.chmod(0o500)
        refused.append(as_ordinary_user("sync", destination, SOME))
    page = tmp_path / "page.html"
    status = as_ordinary_user("status", destination)
    report = as_ordinary_user("report", destination, f"--output={page}")
    plan = as_ordinary_user("plan", destination, SOME, "--no-count")
    file.parent.chmod(0o700)

    for result in refused:
        assert_one_line(result, 1, str(file), "right to write")
    assert calls.to("financial/Journals") == []
    for result in (status, report, plan):
        assert result.code == 0, result.err
    assert page.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own of 48 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """Write until the disk is full."""
    with (place / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


@pytest.mark.parametrize("where", ["destination", "working folder"])
def test_a_disk_that_fills_up_during_a_sync_is_one_line_and_loses_nothing(
    cli: Cli, small_disk: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    destination = cli.destination
    if where == "destination":
        destination = f"--destination=duckdb:{small_disk / 'x.duckdb'}"
    else:
        monkeypatch.setenv("DLT_DATA_DIR", str(small_disk))
    world, inner = cli.world, cli.world.box.app

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].endswith("sync/CRM/Accounts") and not (small_disk / "filler").exists():
            fill(small_disk)
        await inner(scope, receive, send)

    with serve(app, 0) as base_url:
        monkeypatch.setenv("SOURCES__EXACT_ONLINE__BASE_URL", base_url)
        result = cli("sync", destination, "--entities=accounts")

    assert_one_line(result, 1, "full", "free")
    (small_disk / "filler").unlink()
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__BASE_URL", world.base_url)
    assert cli("sync", destination, "--entities=accounts").code == 0
    with duckdb.connect(destination.partition("duckdb:")[2]) as database:
        found = database.execute("SELECT division, id FROM exact_online.accounts").fetchall()
    assert sorted((division, str(key)) for division, key in found) == sorted(
        (division, str(key)) for division in world.box.divisions
        for key in world.keys("crm/Accounts", division)
    )  # fmt: skip


def test_a_reader_elsewhere_disturbs_a_sync_and_check_says_so(cli: Cli) -> None:
    assert cli("sync", cli.destination, SOME).code == 0
    file = cli.destination.partition("duckdb:")[2]
    with opened_elsewhere(file, read_only=True) as pid:
        for command in ("check", "sync"):
            assert_one_line(cli(command, cli.destination, SOME), 3, str(pid))
        assert cli("status", cli.destination).code == 0

    assert cli("check", cli.destination, SOME).code == 0


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


def test_files_are_loaded_once_the_setting_that_the_error_names_is_set(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = f"--destination=filesystem:{tmp_path / 'lake'}"
    refused = cli("sync", lake, SOME)
    named = re.findall(r"sources\.exact_online\.(\w+)", refused.err)
    monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{named[-1].upper()}", "true")

    assert_one_line(refused, 2, "config.toml")
    assert named == ["table_format", "change_log"]
    assert cli("sync", lake, SOME).code == 0


def test_a_server_that_does_not_answer_is_one_line_in_every_command(cli: Cli) -> None:
    where = "--destination=postgresql://me:hush-5ecret@127.0.0.1:1/books"

    for command in ("status", "check", "sync", "report", "plan"):
        result = cli(command, where, *([SOME] if command in {"sync", "plan", "check"} else []))
        assert_one_line(result, 1, "postgres", "127.0.0.1", "start the server")
        assert "hush" not in result.err + result.out


def test_a_postgres_database_that_does_not_exist_is_one_line(cli: Cli, postgres: str) -> None:
    url = f"{postgres.rpartition('/')[0]}/no_such_database"

    assert_one_line(cli("sync", f"--destination={url}", SOME), 1, "postgres", "no_such_database")


def execute(postgres: str, *statements: str) -> list[Any]:
    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True)
class Role:
    """A user of Postgres without rights, who needs a password."""

    name: str
    postgres: str

    def destination(self, password: str = "right") -> str:
        address = self.postgres.rpartition("@")[2]
        return f"--destination=postgresql://{self.name}:{password}@{address}"


@pytest.fixture
def role(postgres: str) -> Iterator[Role]:
    name = f"role_{uuid.uuid4().hex[:12]}"
    execute(postgres, f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
    yield Role(name, postgres)
    execute(postgres, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_wrong_password_of_postgres_is_one_line(cli: Cli, role: Role) -> None:
    with passwords_are_checked(role):
        for command in ("sync", "check", "status"):
            more = [] if command == "status" else [SOME]
            result = cli(command, role.destination("hush-5ecret"), *more)
            assert_one_line(result, 1, "postgres", role.name, "credentials")
            assert "hush" not in result.err + result.out
        assert cli("status", role.destination()).code == 0


@contextmanager
def passwords_are_checked(role: Role) -> Iterator[None]:
    """Let a server that trusts every local user ask this one for a password."""
    wrong = role.destination("hush-5ecret").partition("=")[2]
    ((file,),) = execute(role.postgres, "SHOW hba_file")
    if is_refused(wrong):
        yield
        return
    if not os.access(file, os.W_OK):
        pytest.skip("the server trusts every user")
    before = Path(file).read_text()
    try:
        Path(file).write_text(f"host all {role.name} 127.0.0.1/32 scram-sha-256\n{before}")
        execute(role.postgres, "SELECT pg_reload_conf()")
        assert any(is_refused(wrong) for _ in range(500))  # it reads the file a little later
        yield
    finally:
        Path(file).write_text(before)
        execute(role.postgres, "SELECT pg_reload_conf()")


def is_refused(postgres: str) -> bool:
    try:
        psycopg2.connect(postgres).close()
    except psycopg2.OperationalError:
        return True
    return False


def test_missing_rights_in_postgres_are_one_line(cli: Cli, role: Role, postgres: str) -> None:
    for command in ("sync", "check"):
        assert_one_line(cli(command, role.destination(), SOME), 1, "permission", "grant")
    assert cli("sync", f"--destination={postgres}", SOME).code == 0
    assert "may not read" in cli("status", role.destination()).out
    execute(
        postgres,
        f"GRANT USAGE ON SCHEMA exact_online TO {role.name}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA exact_online TO {role.name}",
    )

    assert "journals" in cli("status", role.destination()).out
    assert_one_line(cli("sync", role.destination(), SOME), 1, "permission", "grant")


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
