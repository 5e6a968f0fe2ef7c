"""Whoever stops a command while Exact answers a token request stops it after the pair is stored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exact_source.auth import FileTokenStorage
from tests.support.auth_kit import Reply, Wire, pair_body, tokens

STOPS = [signal.SIGINT, signal.SIGTERM]
SYNC = ("sync", "--destination=duckdb:x.duckdb", "--divisions=1", "--entities=journals")


@dataclass
class Command:
    """A command that waits for the reply to its token request."""

    process: subprocess.Popen[str]
    wire: Wire
    answer: threading.Event
    storage: FileTokenStorage

    def stop(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def read_until(self, words: str) -> None:
        assert self.process.stderr is not None
        said = ""
        while words not in said:
            line = self.process.stderr.readline()
            assert line, f"it ended without {words!r}: {said}"
            said = line

    def refresh_token(self) -> str:
        pair = self.storage.get_tokens()
        return pair.refresh_token if pair else ""


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[Command]:
    storage, answer = FileTokenStorage(folder / "tokens.json"), threading.Event()
    now = datetime.now(UTC)
    storage.save_tokens(replace(tokens(), expires_at=now, issued_at=None, received_at=None))
    with Wire(Reply(body=pair_body(), hold=answer)) as wire:
        settings = {
            "client_id": "id",
            "client_secret": "the-secret",
            "redirect_uri": "https://x.example/callback",
            "base_url": wire.base_url,
            "token_file": str(folder / "tokens.json"),
        }
        more = {f"SOURCES__EXACT_ONLINE__{n.upper()}": text for n, text in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "exact_source", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, **more},
        )
        try:
            assert wire.arrived.wait(60)
            yield Command(process, wire, answer, storage)
        finally:
            answer.set()
            process.kill()
            process.communicate()


@pytest.mark.parametrize("number", STOPS, ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize(
    "arguments", [("divisions",), ("login", "--code=a-code")], ids=["refresh", "exchange"]
)
def test_a_stopped_command_stores_the_pair_that_is_on_its_way(
    arguments: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    with started(tmp_path, *arguments) as command:
        command.stop(number)
        command.read_until("to a token request, which must not be lost")
        command.answer.set()
        _, said = command.process.communicate(timeout=20)

    assert command.process.returncode == 130
    assert said == ""
    assert command.refresh_token() == "new-refresh-token"


def test_a_sync_that_is_stopped_twice_does_so_too(tmp_path: Path) -> None:
    with started(tmp_path, *SYNC) as command:
        command.stop(signal.SIGINT)
        command.read_until("again to stop at once")
        command.stop(signal.SIGINT)
        command.read_until("to a token request, which must not be lost")
        command.answer.set()
        command.process.communicate(timeout=20)

    assert command.process.returncode == 130
    assert command.refresh_token() == "new-refresh-token"


def test_whoever_stops_it_again_does_not_wait_for_exact(tmp_path: Path) -> None:
    with started(tmp_path, "divisions") as command:
        command.stop(signal.SIGINT)
        command.read_until("to a token request, which must not be lost")
        command.stop(signal.SIGINT)
        command.process.communicate(timeout=20)

    assert command.process.returncode == 130
    assert command.refresh_token() == tokens().refresh_token
