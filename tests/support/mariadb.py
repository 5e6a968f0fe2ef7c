"""A real MariaDB for tests: the one in EXACT_TEST_MYSQL, else one that is started on first use.

Debian's ``mariadb-server-core`` has the programs. The server keeps its data in a temporary folder, listens on
loopback and ends with this process. As root it runs as the system user ``mysql``, whom Debian's
``mariadb-server`` creates.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest

from tests.support.environments import missing

ENVIRONMENT = "EXACT_TEST_MYSQL"
USER = "mysql"
STARTS_WITHIN_S = 60.0
# As Debian configures it: the built-in default, latin1, holds no emoji.
TEXT = "--character-set-server=utf8mb4"
SPEED = ("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite", "--skip-log-bin")


@cache
def mariadb_url() -> str:
    """URL of a running server for SQLAlchemy; skips or fails the test where MariaDB is not installed."""
    return os.environ.get(ENVIRONMENT) or _start()


def _start() -> str:
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin"))
    make, serve = (shutil.which(name, path=path) for name in ("mariadb-install-db", "mariadbd"))
    if make is None or serve is None:
        missing(f"{ENVIRONMENT} names no server, and mariadb-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="exact-mariadb-"))
    folder.chmod(0o755)
    data, options = folder / "data", _as_user()
    data.mkdir()
    if options:
        shutil.chown(data, USER)
    made = subprocess.run(
        [make, "--no-defaults", *options, f"--datadir={data}", "--auth-root-authentication-method=normal"],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if made.returncode:
        missing(f"MariaDB cannot be set up: {(made.stdout + made.stderr).strip()[-200:]}")
    port = _free_port()
    place = (f"--datadir={data}", f"--socket={data / 'socket'}", f"--pid-file={data / 'pid'}")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [
                serve,
                "--no-defaults",
                *options,
                *place,
                *SPEED,
                TEXT,
                f"--port={port}",
                "--bind-address=127.0.0.1",
            ],
            stdout=log,
            stderr=log,
        )
    owner = os.getpid()

    def stop() -> None:
        if os.getpid() == owner:  # and not a forked child
            with suppress(ProcessLookupError):
                server.kill()
            server.wait()
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    _wait(server, port, folder / "log")
    return f"mysql+pymysql://root@127.0.0.1:{port}/"


def _as_user() -> tuple[str, ...]:
    """The server refuses to run as root without a user's name."""
    if os.geteuid():
        return ()
    with suppress(KeyError):
        pwd.getpwnam(USER)
        return (f"--user={USER}",)
    return ("--user=root",)


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    pytest.fail(f"MariaDB does not start: {log.read_text()[-500:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
