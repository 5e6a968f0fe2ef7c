"""The examples of a web app's callback, tried as a browser would."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from exact_source.auth import FileTokenStorage
from exact_source.auth.loopback import wait_for_redirect
from exact_source.sandbox.server import serve
from tests.support.auth_kit import Exact, exact_online


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    with exact_online(tmp_path / "exact") as exact:
        yield exact


@pytest.fixture(params=["starlette", "fastapi"])
def framework(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


@contextmanager
def browser(framework: str, exact: Exact) -> Iterator[httpx.Client]:
    """A browser at the app; its cookies and the redirects it is sent are its own."""
    example = importlib.import_module(f"examples.{framework}_callback")
    with (
        serve(example.create_app(exact.oauth())) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        yield client


def consent(client: httpx.Client) -> str:
    """Where Exact Online sends the browser, as path and query at the app."""
    start = client.get("/exact/login")
    assert start.status_code == 307
    answer = httpx.get(start.headers["Location"], trust_env=False)
    return f"/exact/callback?{urlsplit(answer.headers['Location']).query}"


def test_a_login_ends_with_stored_tokens_that_work(framework: str, exact: Exact) -> None:
    with browser(framework, exact) as client:
        answer = client.get(consent(client))

    assert (answer.status_code, answer.text) == (200, "<p>Connected to Exact Online.</p>")
    assert "exact_state" not in client.cookies
    assert FileTokenStorage(exact.folder / "tokens.json").get_tokens() is not None
    assert exact.is_good(asyncio.run(exact.oauth().access_token()))


@pytest.mark.parametrize("how", ["no-cookie", "other-state", "no-state"])
def test_a_redirect_that_was_not_asked_for_spends_no_code(
    how: str, framework: str, exact: Exact
) -> None:
    with browser(framework, exact) as client:
        target = consent(client)
        if how == "no-cookie":
            client.cookies.clear()
        elif how == "other-state":
            target = target.replace("state=", "state=x")
        else:
            target = target.partition("&state=")[0]
        answer = client.get(target)

    assert answer.status_code == 400
    assert "not started here" in answer.text
    assert exact.box.token_requests == []


def test_a_refusal_and_a_late_code_are_shown_to_the_user(framework: str, exact: Exact) -> None:
    with browser(framework, exact) as client:
        target = consent(client)
        refused = client.get(target.replace("code=", "error=access_denied&unused="))
        exact.clock.advance(181)
        late = client.get(target)

    assert refused.status_code == 403
    assert late.status_code == 400
    assert "3 minutes" in late.text
    assert exact.token_statuses() == [400]


def test_an_outage_is_shown_to_the_user(framework: str, exact: Exact) -> None:
    example = importlib.import_module(f"examples.{framework}_callback")
    oauth = exact.oauth(base_url="http://127.0.0.1:9")
    cookies = {"exact_state": "s"}
    with (
        serve(example.create_app(oauth)) as url,
        httpx.Client(base_url=url, trust_env=False, cookies=cookies) as client,
    ):
        answer = client.get("/exact/callback?code=c&state=s")

    assert answer.status_code == 503
    assert "could not be reached" in answer.text


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_browser_that_is_sent_to_the_loopback_of_ipv6_is_heard() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    with ThreadPoolExecutor(1) as pool, httpx.Client(trust_env=False) as browser:
        waiting = pool.submit(wait_for_redirect, ("::1", port, "/callback"), "mine", 30.0)
        answer = None
        while answer is None:
            with suppress(httpx.ConnectError):  # it does not listen yet
                answer = browser.get(f"http://[::1]:{port}/callback?code=x&state=mine")

    assert answer.status_code == 200
    assert waiting.result() == "/callback?code=x&state=mine"
