"""Runs real commands in this process, against a sandbox on a socket."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.cli.app import run
from exact_source.errors import TokenStoreError
from tests.support.fixtures import MakeWorld
from tests.support.world import World


@dataclass
class Result:
    """The output and exit code of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Cli:
    """Runs commands without a terminal, with the settings of a world."""

    world: World
    printed: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.known.add(self.world.box.client_secret)
        self.secrets()

    def __call__(self, *arguments: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments, self.world.clock)
        result = Result(code, out.getvalue(), err.getvalue())
        self.printed.extend((result.out, result.err))
        assert "Traceback" not in result.err
        assert "ExceptionGroup" not in result.err  # does not show the errors in it
        return result

    @property
    def destination(self) -> str:
        return f"--destination=duckdb:{self.world.folder / 'exact.duckdb'}"

    def secrets(self) -> set[str]:
        """Values that must never be printed, with the tokens at the time of each call."""
        with contextlib.suppress(TokenStoreError):
            if (tokens := self.world.storage.get_tokens()) is not None:
                self.known.update((tokens.access_token, tokens.refresh_token))
        return self.known


@pytest.fixture
def make_cli(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., Cli]]:
    """Makes a command line with its own world; all output is searched for secrets."""
    made: list[Cli] = []

    def make(**settings: Any) -> Cli:
        world = make_world(**settings)
        values = {
            "base_url": world.base_url,
            "client_id": world.box.client_id,
            "client_secret": world.box.client_secret,
            "redirect_uri": world.box.redirect_uri,
            "token_file": str(world.folder / "tokens.json"),
        }
        for name, value in values.items():
            monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)
        made.append(Cli(world))
        return made[-1]

    monkeypatch.chdir(tmp_path / "project")
    load_catalogue.cache_clear()
    yield make
    load_catalogue.cache_clear()
    for cli in made:
        for text in cli.printed:
            assert not [secret for secret in cli.secrets() if secret in text]


@pytest.fixture
def cli(make_cli: Callable[..., Cli]) -> Cli:
    """A command line with two companies."""
    return make_cli()
