"""Two hosts in two network namespaces share one connection through one Postgres.

Each host has a network of its own, a process of its own and no common folder. What it reaches is
Postgres and Exact Online, over a virtual cable.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.support.auth_kit import ROOT, Exact, StoreSpec, exact_online
from tests.support.postgres import fresh_database

ROTATIONS = int(os.environ.get("EXACT_TEST_ROTATIONS", "10"))
# In a host: 127.0.0.1:PORT leads to the other end of the cable, where Postgres and Exact are.
HOST = """
import json, sys
from tests.auth.test_auth_hosts import forward
from tests.support.auth_kit import Connection, rotate
peer, *ports, connection, times = sys.argv[1:]
for port in ports:
    forward(("127.0.0.1", int(port)), (peer, int(port)))
sys.stdin.readline()
print(json.dumps(rotate(Connection.from_json(connection), int(times))))
"""


def forward(listen: tuple[str, int], target: tuple[str, int]) -> socket.socket:
    """Pass connections on, in the background, until the socket is shut down."""
    server = socket.create_server(listen)

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            there = socket.create_connection(target)
            for pair in ((client, there), (there, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return server


def end(server: socket.socket) -> None:
    """Wakes up the thread that accepts, which ``close`` alone does not."""
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextmanager
def host(number: int) -> Iterator[tuple[str, str]]:
    """A network namespace and a cable to it: its name, and our address at our end of the cable."""
    mine = os.getpid() % 250
    name, ours, theirs = f"exact{mine}-{number}", f"ex{mine}-{number}a", f"ex{mine}-{number}b"
    address = f"10.{212 + number}.{mine}"
    try:
        ip("netns", "add", name)
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        ip("addr", "add", f"{address}.1/24", "dev", ours)
        ip("link", "set", ours, "up")
        ip("-n", name, "addr", "add", f"{address}.2/24", "dev", theirs)
        ip("-n", name, "link", "set", theirs, "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name, f"{address}.1"
    finally:
        subprocess.run(["ip", "link", "del", ours], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[list[tuple[str, str]]]:
    if shutil.which("ip") is None:
        pytest.skip("there is no `ip` command (Debian package iproute2)")
    with ExitStack() as stack:
        try:
            found = [stack.enter_context(host(number)) for number in (1, 2)]
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
        yield found


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.mark.nightly
@pytest.mark.parametrize("kind", ["postgres", "dlt-postgres"])
def test_two_hosts_share_a_connection_through_postgres(
    kind: str, hosts: list[tuple[str, str]], exact: Exact, tmp_path: Path
) -> None:
    with fresh_database() as dsn, ExitStack() as stack:
        StoreSpec(kind, str(tmp_path), dsn).open().save_tokens(exact.new_tokens())
        servers = [urlsplit(dsn), urlsplit(exact.base_url)]
        assert {server.hostname for server in servers} == {"127.0.0.1"}
        workers = []
        for name, peer in hosts:
            for server in servers:
                assert server.port is not None
                forwarder = forward((peer, server.port), ("127.0.0.1", server.port))
                stack.callback(end, forwarder)
            folder = tmp_path / name
            folder.mkdir()
            store = StoreSpec(kind, str(folder), urlunsplit(servers[0]))
            connection = exact.connection(store)
            ports = [str(server.port) for server in servers]
            arguments = [peer, *ports, connection.to_json(), str(ROTATIONS)]
            workers.append(
                subprocess.Popen(
                    ["ip", "netns", "exec", name, sys.executable, "-c", HOST, *arguments],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
        results = [json.loads(worker.communicate("go\n")[0]) for worker in workers]

    assert [result["errors"] for result in results] == [[], []]
    assert [result["rotations"] for result in results] == [ROTATIONS, ROTATIONS]
    requests = exact.box.token_requests
    assert [request.status for request in requests] == [200] * (2 * ROTATIONS)
    assert len({request.form["refresh_token"] for request in requests}) == len(requests)
