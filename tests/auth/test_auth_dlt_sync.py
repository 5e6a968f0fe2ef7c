"""Tokens in the destination, through the commands and the source: one place, no secret in what is written."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dlt
import pytest

from exact_source import exact_online
from exact_source.auth import DltStateTokenStorage, storage_from_settings
from exact_source.errors import ConfigurationError
from exact_source.settings import load_settings
from tests.support.auth_kit import KEY
from tests.support.cli_fixtures import Cli
from tests.support.fixtures import MakeWorld
from tests.support.postgres import dump_tables, fresh_database

BIGQUERY = pytest.param("bigquery", marks=pytest.mark.xdist_group("bigquery"))


@pytest.fixture(params=["duckdb", "duckdb:books.duckdb", "postgres", BIGQUERY])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A destination as options and settings name it."""
    settings = {"token_storage": "dlt", "token_key": KEY}
    for name, value in settings.items():
        monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)
    if request.param == "bigquery":
        request.getfixturevalue("bigquery")
    if request.param != "postgres":
        yield request.param
        return
    with fresh_database() as dsn:
        yield dsn


@pytest.mark.timeout(300)  # with the start of an emulator
def test_login_and_sync_use_one_place_which_an_empty_machine_finds(
    place: str, cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    box = cli.world.box
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_DESTINATION", place)
    cli.world.storage.delete_tokens()
    box.token_requests.clear()
    code = box.login()["code"]
    assert cli("login", "--code", code).code == 0
    written: dict[str, bytes] = {}

    for number in range(2):
        cli.world.clock.sandbox.advance(575)
        result = cli("sync", f"--destination={place}", "--entities=journals", "-vv")
        assert result.code == 0, result.err
        written |= {f"{number} {p}": p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
        shutil.rmtree(os.environ["DLT_DATA_DIR"])

    assert [r.status for r in box.token_requests] == [200] * 3
    assert cli("tokens").code == 0
    written["said"] = "".join(cli.printed).encode()
    if place.startswith("postgres"):
        written["tables"] = dump_tables(place).encode()
        assert b"_exact_oauth" in written["tables"]
    assert_no_secret(written, [*secrets_of(box), code])


def secrets_of(box: Any) -> list[str]:
    oauth = box.state.oauth
    return [*oauth._refresh_tokens, *oauth._access_tokens, box.client_secret, KEY]


def assert_no_secret(written: dict[str, bytes], secrets: list[str]) -> None:
    assert len(secrets) > 6
    for secret in secrets:
        for form in {secret, quote(secret, safe="")}:
            assert [name for name, data in written.items() if form.encode() in data] == []


def test_a_destination_that_is_none_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "token_storage": "dlt",
        "token_key": KEY,
        "token_destination": "postgress://user:hush@host/books",
    }.items():
        monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)

    result = cli("tokens")

    assert result.code == 2
    assert "token_destination 'postgress' is unknown; use duckdb, duckdb:PATH" in result.err
    assert "hush" not in result.err


def source(world: Any, **options: Any) -> Any:
    return exact_online(
        entities="journals",
        base_url=world.base_url,
        client_id=world.box.client_id,
        client_secret=world.box.client_secret,
        clock=world.clock,
        **options,
    )


def test_the_source_keeps_tokens_where_its_pipeline_loads(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world = make_world()
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_STORAGE", "dlt")
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_KEY", KEY)
    pair = world.storage.get_tokens()
    assert pair is not None
    DltStateTokenStorage(world.pipeline, key=KEY).save_tokens(pair)

    world.pipeline.run(source(world))

    assert len(world.table("journals")) > 0

    # A destination for tokens that is set is the one for all, so that a login finds the same place.
    elsewhere = f"duckdb:{tmp_path / 'tokens.duckdb'}"
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_DESTINATION", elsewhere)
    file = dlt.destinations.duckdb(str(tmp_path / "tokens.duckdb"))
    DltStateTokenStorage(file, key=KEY, dataset_name="exact_online").save_tokens(pair)
    DltStateTokenStorage(world.pipeline, key=KEY).delete_tokens()
    world.pipeline.run(source(world))


@pytest.mark.parametrize("kind", ["file", "sql"])
def test_the_source_takes_the_store_that_is_configured(
    kind: str, make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    settings = {
        "token_storage": kind,
        "token_key": KEY,
        "token_url": f"sqlite:///{world.folder}/t.db",
        "token_file": str(world.folder / "other.json"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)
    pair = world.storage.get_tokens()
    storage_from_settings(load_settings(client_id="id", client_secret="hush")).save_tokens(pair)
    world.storage.delete_tokens()

    world.pipeline.run(source(world))

    assert len(world.table("journals")) > 0


def test_a_source_without_a_pipeline_says_what_to_set(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    dlt.pipeline("none", pipelines_dir=str(world.folder)).deactivate()
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_STORAGE", "dlt")
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__TOKEN_KEY", KEY)

    with pytest.raises(ConfigurationError, match="token_destination is not set"):
        list(source(world).resources)
