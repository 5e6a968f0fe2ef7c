from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from exact_source.sandbox import Sandbox, SandboxClock
from exact_source.sandbox.command import addresses, describe
from tests.support.sandbox_kit import NOON


@pytest.fixture
def box() -> Sandbox:
    return Sandbox(invoices=12, clock=SandboxClock(NOON, frozen=True))


@pytest.fixture
def client(box: Sandbox) -> Iterator[httpx.Client]:
    bearer = {
        "Authorization": f"Bearer {box.issue_tokens()['access_token']}",
        "Accept": "application/json",
    }
    with box.serve() as base_url, httpx.Client(base_url=base_url, headers=bearer) as client:
        yield client


def test_whole_story_over_a_socket(box: Sandbox) -> None:
    with box.serve() as base_url, httpx.Client(base_url=base_url) as client:
        query = {
            "client_id": box.client_id,
            "redirect_uri": box.redirect_uri,
            "response_type": "code",
            "state": "s",
        }
        location = client.get("/api/oauth2/auth", params=query).headers["location"]
        form = {
            "grant_type": "authorization_code",
            "code": parse_qs(urlsplit(location).query)["code"][0],
            "client_id": box.client_id,
            "client_secret": box.client_secret,
            "redirect_uri": box.redirect_uri,
        }
        tokens = client.post("/api/oauth2/token", data=form).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        client.headers["Accept"] = "application/json"
        (me,) = client.get("/api/v1/current/Me").json()["d"]["results"]
        url = f"{base_url}/api/v1/{me['CurrentDivision']}/salesinvoice/SalesInvoiceLines"
        url += "?$select=ID&$filter=LineNumber ge 0"
        keys: list[str] = []
        while url:
            body = client.get(url).json()["d"]
            keys += [row["ID"] for row in body["results"]]
            url = body.get("__next", "")
            assert not url or url.startswith(base_url)
        assert sorted(keys) == [
            row["ID"] for row in box.rows("salesinvoice/SalesInvoiceLines", me["CurrentDivision"])
        ]


def test_only_the_sandbox_clock_dates_an_answer(client: httpx.Client) -> None:
    answer = client.get("/api/v1/current/Me")
    assert answer.headers.get_list("Date") == ["Mon, 15 Jun 2026 12:00:00 GMT"]


def test_dropped_connection(box: Sandbox, client: httpx.Client) -> None:
    box.fault("drop")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.get("/api/v1/current/Me")
    assert client.get("/api/v1/current/Me").status_code == 200


def test_truncated_body(box: Sandbox, client: httpx.Client) -> None:
    box.fault("truncate")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        client.get("/api/v1/current/Me")


def test_lost_token_reply(box: Sandbox, client: httpx.Client) -> None:
    tokens = box.issue_tokens()
    box.clock.advance(580)
    box.fault("token-lost")
    form = {
        "grant_type": "refresh_token",
        "refresh_token": tokens["refresh_token"],
        "client_id": box.client_id,
        "client_secret": box.client_secret,
    }
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/api/oauth2/token", data=form)
    assert client.post("/api/oauth2/token", data=form).json()["error"] == "unauthorized_client"


def test_parallel_calls_are_counted_and_divisions_run_side_by_side(box: Sandbox) -> None:
    """Calls of one company overlap, and those of another: each is still under way when the last comes."""
    token, divisions = box.issue_tokens()["access_token"], [*box.divisions, box.divisions[0]]
    together = threading.Barrier(len(divisions), timeout=20)
    under_way: list[int] = []
    enter = box.state.in_flight.enter

    def enter_and_count(division: int) -> None:
        enter(division)
        under_way.append(sum(box.state.in_flight._now.values()))

    box.state.in_flight.enter = enter_and_count  # type: ignore[method-assign]
    with box.serve() as base_url:
        box.settings.latency = 1.0

        def call(division: int) -> None:
            headers = {"Authorization": f"Bearer {token}"}
            together.wait()
            url = f"{base_url}/api/v1/{division}/crm/Contacts?$select=ID"
            assert httpx.get(url, headers=headers, timeout=30).status_code == 200

        threads = [threading.Thread(target=call, args=(division,)) for division in divisions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [box.max_in_flight(division) for division in box.divisions] == [2, 1]
    assert max(under_way) == 3


def test_data_changes_while_it_is_served(box: Sandbox, client: httpx.Client) -> None:
    division = box.divisions[0]
    url = f"/api/v1/{division}/crm/Contacts?$select=FullName&$filter=FullName eq 'Nieuw'"
    assert client.get(url).json()["d"]["results"] == []
    box.insert("crm/Contacts", division, {"FullName": "Nieuw"})
    assert len(client.get(url).json()["d"]["results"]) == 1


def ask(base_url: str, query: str) -> httpx.Response:
    """Log in as any program does, and ask for the accounts of the first company."""
    with httpx.Client(base_url=base_url, headers={"Accept": "application/json"}) as client:
        shown = client.get("/_sandbox/").text
        app = {
            n: re.findall(rf"{n}</th><td><code>(.*?)</code>", shown)[0]
            for n in ("Client id", "Client secret", "Redirect URI")
        }
        form = {
            "grant_type": "authorization_code",
            "code": client.post("/_sandbox/login").json()["result"]["code"],
            "client_id": app["Client id"],
            "client_secret": app["Client secret"],
            "redirect_uri": app["Redirect URI"],
        }
        token = client.post("/api/oauth2/token", data=form).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        return client.get(f"/api/v1/1000123/crm/Accounts{query}", headers=bearer)


def test_taken_port_is_an_error(box: Sandbox) -> None:
    with box.serve() as base_url:
        port = urlsplit(base_url).port or 0
        with pytest.raises(OSError, match="in use"), Sandbox().serve(port):
            pass


def test_served_again_after_it_was_stopped(box: Sandbox) -> None:
    for _ in range(2):
        with box.serve() as base_url:
            assert httpx.get(f"{base_url}/_sandbox/").status_code == 200


def test_json_says_where_the_command_serves_and_as_whom() -> None:
    command = [sys.executable, "-m", "exact_source", "sandbox", "--port=0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        place = json.loads(process.stdout.readline())
        with httpx.Client(base_url=place["base_url"]) as client:
            stats = client.get("/_sandbox/stats").json()
            form = {
                "grant_type": "authorization_code",
                "code": client.post("/_sandbox/login").json()["result"]["code"],
                **{name: place[name] for name in ("client_id", "client_secret", "redirect_uri")},
            }
            token = client.post(place["token_url"], data=form).json()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert [int(code) for code in stats["divisions"]] == place["divisions"]
    assert token["token_type"] == "bearer"
    assert rest == ""


def test_the_text_names_a_few_of_many_companies_and_the_json_names_all() -> None:
    many, few = Sandbox(companies=300, invoices=1), Sandbox(companies=3, invoices=1)

    assert max(map(len, describe(many, "http://x").splitlines())) < 120
    assert "and 294 more" in describe(many, "http://x")
    assert all(str(code) in describe(few, "http://x") for code in few.divisions)
    assert addresses(many, "http://x")["divisions"] == list(many.divisions)


def test_command_listens_once_it_prints_and_stops_without_a_word() -> None:
    """A client that connects at once is served; Ctrl-C at that moment leaves no warning."""
    command = [sys.executable, "-m", "exact_source", "sandbox", "--port=0", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        place = urlsplit(json.loads(process.stdout.readline())["base_url"])
        socket.create_connection((place.hostname, place.port)).close()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == 0


def test_command_serves_until_it_is_interrupted() -> None:
    options = ["--port=0", "--fault=slow=0.01:0.5", "--companies=3", "--invoices=5"]
    options += ["--require-select=never", "--sync-order=key", "--no-errors-everywhere"]
    command = [sys.executable, "-m", "exact_source", "sandbox", *options, "--language=nl"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(10)]
        base_url = lines[0].split()[4]
        stats = httpx.get(f"{base_url}/_sandbox/stats").json()
        without_select, unknown = ask(base_url, ""), ask(base_url, "?$filter=")
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(10) == 0
    assert len(stats["divisions"]) == 3
    assert without_select.status_code == 200
    assert "Ongeldige aanvraag" in unknown.text
    assert stats["faults"][0]["seconds"] == 0.01
    shown = "".join(lines) + rest
    for text in ("client id", "client secret", "redirect URI", "/_sandbox/"):
        assert text in shown
