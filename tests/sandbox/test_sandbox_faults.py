from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from exact_source.sandbox import Sandbox
from exact_source.sandbox.rules.faults import parse_fault
from tests.support.sandbox_kit import BASE_URL, Caller, new_box

PATH, OPTIONS = "crm/Contacts", {"$select": "ID,Division"}


@pytest.fixture
def box() -> Sandbox:
    return new_box(page_size=4)


@pytest.fixture
def caller(box: Sandbox) -> Caller:
    return Caller(box)


def results(answer: httpx.Response) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = answer.json()["d"]["results"]
    return found


@pytest.mark.parametrize("kind", [408, 429, 500, 503, "599"])
def test_status_with_an_empty_body_once(box: Sandbox, caller: Caller, kind: int | str) -> None:
    box.fault(kind)
    answer = caller.get(PATH, OPTIONS)
    assert (answer.status_code, answer.content) == (int(kind), b"")
    assert "X-RateLimit-Limit" not in answer.headers
    assert caller.get(PATH, OPTIONS).status_code == 200


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("html", 200, "unavailable"),
        ("html-401", 401, "Object moved"),
        ("html-login", 200, "Object moved"),
        ("empty", 200, ""),
    ],
)
def test_body_that_is_no_json(
    box: Sandbox, caller: Caller, kind: str, status: int, text: str
) -> None:
    box.fault(kind)
    answer = caller.get(PATH, OPTIONS)
    assert answer.status_code == status
    assert text in answer.text
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_redirect_leads_to_the_login_page(box: Sandbox, caller: Caller) -> None:
    box.fault(302)
    answer = caller.get(PATH, OPTIONS)
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/docs/Login.aspx?ReturnUrl=")


def test_rules_choose_path_division_moment_and_number(box: Sandbox, caller: Caller) -> None:
    box.fault(503, path="crm/*", division=box.divisions[0], after=1, times=2)
    assert caller.get("logistics/Units", OPTIONS).status_code == 200
    assert caller.get(PATH, OPTIONS, division=box.divisions[1]).status_code == 200
    assert [caller.get(PATH, OPTIONS).status_code for _ in range(4)] == [200, 503, 503, 200]


def test_probability_strikes_now_and_then(box: Sandbox, caller: Caller) -> None:
    box.fault(503, probability=0.3)
    statuses = [caller.get(PATH, OPTIONS).status_code for _ in range(60)]
    assert 5 < statuses.count(503) < 40
    box.state.faults.clear()
    assert caller.get(PATH, OPTIONS).status_code == 200


def test_dropped_connection_is_logged_as_status_0(box: Sandbox, caller: Caller) -> None:
    box.fault("drop")
    with pytest.raises(ConnectionResetError):
        caller.get(PATH, OPTIONS)
    assert box.requests[-1].status == 0


def test_truncated_body(box: Sandbox, caller: Caller) -> None:
    whole = caller.get(PATH, OPTIONS)
    box.fault("truncate")
    half = caller.get(PATH, OPTIONS)
    assert whole.content.startswith(half.content)
    assert len(half.content) == len(whole.content) // 2


def test_row_of_another_division(box: Sandbox, caller: Caller) -> None:
    box.fault("wrong-division")
    divisions = [row["Division"] for row in results(caller.get(PATH, OPTIONS))]
    assert sorted(divisions) == [caller.division] * 3 + [caller.division + 1]


def test_next_to_another_host(box: Sandbox, caller: Caller) -> None:
    box.fault("foreign-next")
    url = caller.get(PATH, OPTIONS).json()["d"]["__next"]
    assert not url.startswith(BASE_URL)
    assert url.startswith("http://")


def test_next_that_repeats_the_page(box: Sandbox, caller: Caller) -> None:
    box.fault("repeat-next", times=2)
    first = caller.get(PATH, OPTIONS)
    second = caller.follow(first.json()["d"]["__next"])
    assert results(second) == results(first)


def test_empty_page_with_a_next_that_goes_on(box: Sandbox, caller: Caller) -> None:
    everything = caller.rows(PATH, OPTIONS)
    box.fault("empty-page", after=1)
    pages = caller.pages(PATH, OPTIONS)
    assert [] in pages[:-1]
    assert [row for page in pages for row in page] == everything


def test_duplicate_row_in_a_run(box: Sandbox, caller: Caller) -> None:
    box.fault("duplicate-row", path="sync/*")
    keys = [row["ID"] for row in caller.rows("sync/CRM/Contacts", OPTIONS)]
    assert len(keys) == len(set(keys)) + 1


def test_slow_call(box: Sandbox, caller: Caller) -> None:
    box.fault("slow", seconds=0.15)
    began = time.monotonic()
    assert caller.get(PATH, OPTIONS).status_code == 200
    assert time.monotonic() - began >= 0.15


def test_faults_of_the_command_line() -> None:
    fault = parse_fault("429:0.01")
    assert (fault.kind, fault.probability, fault.times) == ("429", 0.01, None)
    fault = parse_fault("slow=2.5:0.1")
    assert (fault.kind, fault.seconds, fault.probability) == ("slow", 2.5, 0.1)
    assert parse_fault("html").probability == 1.0
    with pytest.raises(ValueError, match="reads like"):
        parse_fault("429:often")
