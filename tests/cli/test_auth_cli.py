"""The commands login, logout and tokens, against the sandbox."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner, Result

from exact_source.auth import FileTokenStorage, SqlTokenStorage, storage_from_settings
from exact_source.cli.app import app
from exact_source.errors import AuthenticationError, ConfigurationError
from exact_source.settings import Settings, load_settings
from tests.support.auth_kit import KEY, ROOT, Exact, exact_online, tokens

Run = Callable[..., Result]


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture
def env(exact: Exact, tmp_path: Path) -> dict[str, str]:
    settings = {
        "client_id": exact.box.client_id,
        "client_secret": exact.box.client_secret,
        "redirect_uri": exact.box.redirect_uri,
        "base_url": exact.base_url,
        "token_file": str(tmp_path / "tokens.json"),
    }
    return {f"SOURCES__EXACT_ONLINE__{name.upper()}": value for name, value in settings.items()}


@pytest.fixture
def run(exact: Exact, env: dict[str, str]) -> Run:
    def run(*arguments: str, answer: str = "", **settings: str) -> Result:
        more = {f"SOURCES__EXACT_ONLINE__{n.upper()}": v for n, v in settings.items()}
        return CliRunner().invoke(
            app, list(arguments), input=answer, env={**env, **more}, obj=exact.clock
        )

    return run


@pytest.fixture
def file(tmp_path: Path) -> FileTokenStorage:
    return FileTokenStorage(tmp_path / "tokens.json")


def address_in(text: str) -> str:
    found = re.search(r"https?://\S+/api/oauth2/auth\S+", text)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("form", ["code", "encoded", "redirect_url"])
def test_login_takes_a_code_or_the_address(
    form: str, run: Run, exact: Exact, file: FileTokenStorage
) -> None:
    browser = exact.box.login()
    given = browser.get(form) or browser["code"].replace("!", "%21")

    result = run("login", "--code", given)

    assert result.exit_code == 0, result.output
    assert f"tokens are in file {file._path} (plain text, mode 0600)" in result.stdout
    pair = file.get_tokens()
    assert pair is not None
    assert exact.is_good(pair.access_token)
    assert pair.access_token not in result.output


def test_login_asks_and_takes_the_address_it_led_to(run: Run, exact: Exact) -> None:
    """The state is random, so the address of the first attempt does not fit the second."""
    first = run("login", "--no-browser", answer="\n")
    assert isinstance(first.exception, ConfigurationError)
    redirect = httpx.get(address_in(first.stderr), trust_env=False).headers["Location"]

    second = run("login", answer=f"{redirect}\n")

    assert isinstance(second.exception, AuthenticationError)
    assert "state" in str(second.exception)
    assert exact.box.token_requests == []

    # As --code it is taken, because the state was made with this app's secret, not long ago.
    assert run("login", "--code", redirect).exit_code == 0


def test_login_asks_again_until_there_is_a_code(run: Run, exact: Exact) -> None:
    answers = ["https://app.example/callback?state=x", "", "12", f' "{exact.box.login()["code"]}"']

    result = run("login", answer="\n".join([*answers, "not read"]))

    assert result.exit_code == 0, result.output
    assert result.stderr.count("Paste that address") == 4
    assert exact.token_statuses() == [200]


def test_login_takes_a_pasted_code(run: Run, exact: Exact) -> None:
    result = run("login", "--json", "--force-login", answer=exact.box.login()["code"] + "\n")

    assert result.exit_code == 0
    assert set(json.loads(result.stdout)) == {"store", "expires_at"}
    assert "force_login=1" in address_in(result.stderr)
    assert exact.token_statuses() == [200]


@pytest.mark.parametrize("how", ["late", "forged"])
def test_login_refuses_an_address_with_a_strange_state(how: str, run: Run, exact: Exact) -> None:
    answer = run("login", "--no-browser", answer="\n")
    redirect = httpx.get(address_in(answer.stderr), trust_env=False).headers["Location"]
    if how == "late":
        exact.clock.advance(16 * 60)
    else:
        redirect = re.sub("state=[^&]*", "state=forged", redirect)

    result = run("login", "--code", redirect)

    assert isinstance(result.exception, AuthenticationError)
    assert "state of a login of the last 15 minutes" in str(result.exception)
    assert exact.box.token_requests == []


def test_login_waits_for_the_browser_where_the_redirect_is_loopback(
    exact: Exact, env: dict[str, str], file: FileTokenStorage
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    exact.box.state.oauth.redirect_uri = f"http://127.0.0.1:{port}/callback"
    process = subprocess.Popen(
        [sys.executable, "-m", "exact_source", "login", "--no-browser", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            **env,
            "SOURCES__EXACT_ONLINE__REDIRECT_URI": exact.box.state.oauth.redirect_uri,
        },
    )
    assert process.stderr is not None
    said = ""
    while "Waiting for the browser" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line

    with httpx.Client(trust_env=False) as browser:
        redirect = browser.get(address_in(said)).headers["Location"]
        while True:
            try:
                strange = browser.get(f"http://127.0.0.1:{port}/callback?code=x&state=y")
                break
            except httpx.ConnectError:  # it says so a moment before it listens
                continue
        assert strange.status_code == 400
        assert browser.get(f"http://127.0.0.1:{port}/favicon.ico").status_code == 404
        thanks = browser.get(redirect)
    output, _ = process.communicate()

    assert thanks.status_code == 200
    assert process.returncode == 0
    assert json.loads(output)["store"].startswith("file ")
    assert file.get_tokens() is not None


def test_listening_needs_a_loopback_address(run: Run) -> None:
    result = run("login", "--listen")

    assert isinstance(result.exception, ConfigurationError)
    assert "--listen needs a redirect URI" in str(result.exception)


def test_tokens_shows_age_and_place_but_no_secret(
    run: Run, exact: Exact, file: FileTokenStorage
) -> None:
    pair = exact.new_tokens()
    file.save_tokens(pair)
    exact.clock.advance(86400 * 5 + 100)

    shown = run("tokens")
    facts = json.loads(run("tokens", "--json").stdout)

    assert shown.exit_code == 0
    assert "expired" in shown.stdout
    assert "expires in 25 d" in shown.stdout
    assert facts["age_s"] == 86400 * 5 + 100
    assert facts["days_until_login"] == 25.0
    assert facts["refresh_due"] is True
    assert facts["access_token_left_s"] == 0
    for text in (shown.output, json.dumps(facts)):
        assert pair.access_token[:12] not in text
        assert pair.refresh_token[:12] not in text
    assert exact.box.token_requests == []


def test_tokens_of_a_fresh_login(run: Run, exact: Exact, file: FileTokenStorage) -> None:
    file.save_tokens(exact.new_tokens())

    assert "valid for 10 min" in run("tokens").stdout


def test_without_tokens_it_says_where_it_looked(run: Run, file: FileTokenStorage) -> None:
    result = run("tokens")

    assert isinstance(result.exception, AuthenticationError)
    assert str(file._path) in str(result.exception)


def test_logout_asks_and_deletes(run: Run, file: FileTokenStorage) -> None:
    file.save_tokens(tokens())
    assert run("logout", answer="n\n").exit_code == 1
    assert file.get_tokens() is not None

    assert run("logout", answer="y\n").exit_code == 0
    assert file.get_tokens() is None


def test_logout_without_tokens_does_not_claim_to_delete_any(
    run: Run, file: FileTokenStorage
) -> None:
    file.save_tokens(tokens())
    assert json.loads(run("logout", "--yes", "--json").stdout)["deleted"] is True

    again = run("logout", "--yes", "--json")
    assert (again.exit_code, json.loads(again.stdout)["deleted"]) == (0, False)
    assert "deleted" not in run("logout", "--yes").stdout


@pytest.mark.parametrize("as_json", [False, True])
def test_a_new_key_is_a_fernet_key(as_json: bool, run: Run) -> None:
    output = run("tokens", "--new-key", *(["--json"] if as_json else [])).stdout
    key = json.loads(output)["token_key"] if as_json else output.strip()

    assert Fernet(key).decrypt(Fernet(key).encrypt(b"text")) == b"text"


@pytest.mark.parametrize("command", ["login", "logout", "tokens"])
def test_help_has_an_example(command: str, run: Run) -> None:
    assert f"Example: exact-source {command}" in run(command, "--help").stdout


def test_an_error_is_one_line_and_the_exit_code_tells_its_kind(
    exact: Exact, env: dict[str, str]
) -> None:
    def call(*arguments: str, **changes: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "exact_source", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={**os.environ, **env, **changes},
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    code, said = call("login", "--code", "wrong")
    assert (code, said.count("\n")) == (1, 1)
    assert "works once, within 3 minutes" in said
    code, said = call("tokens", SOURCES__EXACT_ONLINE__TOKEN_STORAGE="cloud")
    assert (code, said.count("\n")) == (2, 1)
    assert "use file, sql or dlt" in said


def test_settings_choose_the_storage(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def chosen(**settings: str) -> Any:
        with monkeypatch.context() as patch:
            for name, value in env.items():
                patch.setenv(name, value)
            for name, value in settings.items():
                patch.setenv(f"SOURCES__EXACT_ONLINE__{name.upper()}", value)
            return storage_from_settings(load_settings())

    assert isinstance(chosen(), FileTokenStorage)
    assert "encrypted" in chosen(token_key=KEY).describe()
    sql = chosen(token_storage="sql", token_url=f"sqlite:///{tmp_path}/t.db", token_key=KEY)
    assert isinstance(sql, SqlTokenStorage)
    sql.save_tokens(tokens())
    assert sql.get_tokens() == tokens()
    in_dlt = chosen(token_storage="dlt", token_destination="duckdb", token_key=KEY)
    assert "exact_online._exact_oauth in duckdb" in in_dlt.describe()
    for settings, name in (
        ({"token_storage": "sql", "token_key": KEY}, "token_url"),
        ({"token_storage": "sql", "token_url": "sqlite:///x.db"}, "token_key"),
        ({"token_storage": "dlt", "token_key": KEY}, "token_destination"),
        ({"token_storage": "dlt", "token_destination": "duckdb"}, "token_key"),
    ):
        with pytest.raises(ConfigurationError, match=name):
            chosen(**settings)


def test_settings_hide_their_secrets() -> None:
    settings = Settings(
        base_url="https://start.exactonline.nl",
        client_id="id",
        client_secret="hush-1",
        redirect_uri="",
        token_key="hush-2",
        token_url="postgresql://u:hush-3@h/d",
    )

    assert "hush" not in repr(settings)
