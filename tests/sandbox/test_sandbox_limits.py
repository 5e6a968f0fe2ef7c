from __future__ import annotations

import asyncio
from xml.etree import ElementTree

import httpx
import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import BASE_URL, NOON, Caller, error_text, new_box

PATH, QUERY = "hrm/Costcenters", {"$select": "ID"}
WRONG = {"$select": "Nope"}
MINUTELY = {
    "x-ratelimit-minutely-limit",
    "x-ratelimit-minutely-remaining",
    "x-ratelimit-minutely-reset",
}
DAILY = {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"}


def limit_headers(answer: httpx.Response) -> dict[str, str]:
    return {k: v for k, v in answer.headers.items() if k.startswith("x-ratelimit")}


def limited(**options: int) -> tuple[Sandbox, Caller]:
    box = new_box(**{"minute_limit": 3, "daily_limit": 10, **options})
    return box, Caller(box)


def test_headers_tell_both_limits_in_epoch_milliseconds() -> None:
    _, caller = limited()
    at = int(NOON.timestamp()) * 1000
    assert limit_headers(caller.get(PATH, QUERY)) == {
        "x-ratelimit-limit": "10",
        "x-ratelimit-remaining": "9",
        "x-ratelimit-reset": str(at + 12 * 3_600_000),
        "x-ratelimit-minutely-limit": "3",
        "x-ratelimit-minutely-remaining": "2",
        "x-ratelimit-minutely-reset": str(at + 60_000),
    }


def test_minute_is_a_clock_minute_and_its_429_has_only_minutely_headers() -> None:
    box, caller = limited()
    box.clock.advance(50)
    answers = [caller.get(PATH, QUERY) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert set(limit_headers(answers[-1])) == MINUTELY
    assert answers[-1].content == b""
    box.clock.advance(10)
    assert caller.get(PATH, QUERY).status_code == 200


def test_day_ends_at_midnight_utc_and_its_429_has_only_daily_headers() -> None:
    box, caller = limited(minute_limit=100)
    for _ in range(10):
        assert caller.get(PATH, QUERY).status_code == 200
    answer = caller.get(PATH, QUERY)
    assert (answer.status_code, set(limit_headers(answer))) == (429, DAILY)
    box.clock.advance(12 * 3600)
    caller.token = box.issue_tokens()["access_token"]
    assert caller.get(PATH, QUERY).status_code == 200


def test_each_division_has_its_own_limit_and_calls_without_division_are_free() -> None:
    box, caller = limited()
    for _ in range(5):
        answer = caller.follow("/api/v1/current/Me")
        assert (answer.status_code, limit_headers(answer)) == (200, {})
    for _ in range(3):
        caller.get(PATH, QUERY)
    assert caller.get(PATH, QUERY).status_code == 429
    assert caller.get(PATH, QUERY, division=box.divisions[1]).status_code == 200


def test_rights_question_is_not_billed() -> None:
    box, caller = limited()
    question = {"endpoint": "'Logistics/Items'", "action": "'GET'"}
    for _ in range(5):
        assert caller.get("Users/UserHasRights", question).json() == {"d": {"UserHasRights": True}}
    assert box.state.limits.used(caller.division) == (0, 0)


@pytest.mark.parametrize(
    ("endpoint", "action", "known"),
    [
        ("Logistics/Items", "GET", True),
        ("logistics/Items", "PUT", True),
        ("Sync/Deleted", "GET", True),
        ("logistics/items", "GET", False),
        ("non/Sense", "GET", False),
        ("Items", "GET", False),
        ("Logistics/Items", "FLY", False),
        ("sync/Logistics/Items", "GET", False),  # an undocumented form
    ],
)
def test_rights_are_known_of_endpoints_and_actions_that_exist(
    endpoint: str, action: str, known: bool
) -> None:
    box = new_box()
    caller = Caller(box)
    question = {"endpoint": f"'{endpoint}'", "action": f"'{action}'"}
    assert caller.get("users/UserHasRights", question).json() == {"d": {"UserHasRights": known}}
    atom = caller.get("users/UserHasRights", question, headers={"Accept": "*/*"})
    assert ElementTree.fromstring(atom.content).text == str(known).lower()
    box.deny(caller.division, "sync/Logistics/Items")
    box.deny(caller.division, "sync/Deleted")
    assert caller.get("users/UserHasRights", question).json() == {"d": {"UserHasRights": False}}


def test_another_client_uses_up_the_same_calls() -> None:
    box, caller = limited()
    box.consume(caller.division, 2)
    answer = caller.get(PATH, QUERY)
    assert answer.headers["X-RateLimit-Minutely-Remaining"] == "0"
    assert caller.get(PATH, QUERY).status_code == 429


def test_429_can_come_without_headers() -> None:
    box, caller = limited()
    box.state.limits.silent = True
    box.consume(caller.division, 3)
    answer = caller.get(PATH, QUERY)
    assert (answer.status_code, limit_headers(answer)) == (429, {})


def test_eleventh_error_of_an_hour_blocks_the_key_for_an_hour() -> None:
    box = new_box()
    caller = Caller(box)
    for _ in range(11):
        assert caller.get(PATH, WRONG).status_code == 400
    answer = caller.get("logistics/Units", QUERY)
    assert (answer.status_code, limit_headers(answer)) == (429, {})
    box.clock.advance(3601)
    caller.token = box.issue_tokens()["access_token"]
    assert caller.get(PATH, QUERY).status_code == 200


@pytest.mark.parametrize(
    "url", ["/api/v1/{0}/hrm/Costcenters?$select=ID", "/api/v1/{1}/hrm/Units", "/api/v1/current/Me"]
)
def test_the_block_is_of_the_key_not_of_the_endpoint(url: str) -> None:
    box = new_box()
    caller = Caller(box)
    for _ in range(11):
        caller.get(PATH, WRONG)
    assert caller.follow(url.format(*box.divisions)).status_code == 429


def test_errors_of_several_endpoints_and_divisions_are_counted_apart() -> None:
    box = new_box()
    caller = Caller(box)
    for path in (PATH, "logistics/Units"):
        for division in box.divisions:
            for _ in range(10):
                assert caller.get(path, WRONG, division=division).status_code == 400
    assert caller.get(PATH, QUERY).status_code == 200


def test_a_call_during_the_block_makes_it_longer() -> None:
    box = new_box()
    caller = Caller(box)
    for _ in range(11):
        caller.get(PATH, WRONG)
    box.clock.advance(3000)
    caller.token = box.issue_tokens()["access_token"]
    assert caller.get("logistics/Units", QUERY).status_code == 429
    box.clock.advance(700)  # the first hour is over
    caller.token = box.issue_tokens()["access_token"]
    assert caller.get(PATH, QUERY).status_code == 429
    box.clock.advance(3601)
    caller.token = box.issue_tokens()["access_token"]
    assert caller.get(PATH, QUERY).status_code == 200


@pytest.mark.parametrize("everywhere", [True, False])
def test_errors_without_a_division_may_count(everywhere: bool) -> None:
    box = new_box(errors_everywhere=everywhere)
    caller = Caller(box)
    for _ in range(11):
        assert caller.follow("/api/v1/current/Me?$select=Nope").status_code == 400
    assert caller.get(PATH, QUERY).status_code == (429 if everywhere else 200)


@pytest.mark.parametrize("everywhere", [True, False])
def test_errors_of_token_requests_may_count(everywhere: bool) -> None:
    box = new_box(errors_everywhere=everywhere)
    caller = Caller(box)
    for _ in range(11):
        assert caller.token_request(grant_type="nonsense").status_code == 400
    assert caller.get(PATH, QUERY).status_code == (429 if everywhere else 200)


@pytest.mark.parametrize(
    ("options", "method", "headers", "status"),
    [
        ({"$apply": "x"}, "GET", {}, 400),
        ({"$select": ",".join(["ID"] * 2000)}, "GET", {}, 414),
        ({}, "GET", {"Accept": "application/xml"}, 415),
        ({}, "PUT", {}, 405),
    ],
)
def test_calls_of_a_wrong_form_are_counted_and_say_so(
    options: dict[str, str], method: str, headers: dict[str, str], status: int
) -> None:
    box, caller = limited()
    query = "&".join(f"{name}={text}" for name, text in options.items())
    bearer = {"Authorization": f"Bearer {caller.token}", **headers}
    answer = caller.send(method, f"/api/v1/{caller.division}/{PATH}?{query}", bearer)
    assert answer.status_code == status
    assert limit_headers(answer)["x-ratelimit-minutely-remaining"] == "2"
    assert box.state.limits.used(caller.division) == (1, 1)


@pytest.mark.parametrize("kind", ["400", "401", "403", "404", "html-401"])
def test_errors_that_were_ordered_count_like_any_other(kind: str) -> None:
    box = new_box()
    caller = Caller(box)
    box.fault(kind, times=11)
    statuses = {caller.get(PATH, QUERY).status_code for _ in range(11)}
    assert statuses == {int(kind.removeprefix("html-"))}
    assert caller.get(PATH, QUERY).status_code == 429


@pytest.mark.parametrize("kind", ["408", "429", "500", "503", "html", "html-login", "302"])
def test_other_faults_do_not_count(kind: str) -> None:
    box = new_box()
    caller = Caller(box)
    box.fault(kind, times=11)
    for _ in range(11):
        caller.get(PATH, QUERY)
    assert caller.get(PATH, QUERY).status_code == 200


def test_ten_errors_an_hour_are_forgiven_and_old_ones_forgotten() -> None:
    box = new_box()
    caller = Caller(box)
    for _ in range(10):
        caller.get(PATH, WRONG)
    assert caller.get(PATH, QUERY).status_code == 200
    box.clock.advance(3601)
    caller.token = box.issue_tokens()["access_token"]
    for _ in range(10):
        caller.get(PATH, WRONG)
    assert caller.get(PATH, QUERY).status_code == 200
    assert box.state.errors.count(caller.division, PATH) == 10


def test_status_of_the_block_can_be_set() -> None:
    box = new_box()
    box.state.errors.status, box.state.errors.allowed = 403, 0
    caller = Caller(box)
    caller.get(PATH, WRONG)
    assert caller.get(PATH, QUERY).status_code == 403


@pytest.mark.parametrize("parallel", [1, 3])
def test_calls_at_once_are_counted_by_division(parallel: int) -> None:
    box = new_box(latency=0.02)
    caller = Caller(box)

    async def call(client: httpx.AsyncClient) -> None:
        headers = {"Authorization": f"Bearer {caller.token}"}
        await client.get(f"/api/v1/{caller.division}/{PATH}?$select=ID", headers=headers)

    async def go() -> None:
        transport = httpx.ASGITransport(app=box.app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
            await asyncio.gather(*(call(client) for _ in range(parallel)))

    asyncio.run(go())
    assert box.max_in_flight(caller.division) == parallel
    assert box.max_in_flight(box.divisions[1]) == 0


def test_a_reply_that_is_too_large_is_refused() -> None:
    box = new_box()
    caller = Caller(box)
    box.settings.response_limit = len(caller.get(PATH, QUERY).content)
    assert caller.get(PATH, QUERY).status_code == 200
    box.settings.response_limit -= 1
    answer = caller.get(PATH, QUERY)
    assert (answer.status_code, box.requests[-1].rows) == (500, 0)


def test_paths_with_and_without_a_division_are_different_ones() -> None:
    caller = Caller(new_box())
    assert caller.follow("/api/v1/current/Me").status_code == 200
    assert caller.get("current/Me").status_code == 404
    assert caller.follow("/api/v1/crm/Contacts?$select=ID").status_code == 404


def test_unknown_division_is_out_of_scope() -> None:
    answer = Caller(new_box()).get(PATH, QUERY, division=42)
    assert answer.status_code == 403
    assert answer.headers["Reason"] == "NoDivisionAccess"
    assert error_text(answer) == "Forbidden - User division is not within division scope"
