from __future__ import annotations

import asyncio

import httpx
import pytest

from exact_source.sandbox import Sandbox
from tests.support.sandbox_kit import BASE_URL, NOON, Caller, error_text, new_box

PATH, QUERY = "hrm/Costcenters", {"$select": "ID"}
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
        assert caller.get("users/UserHasRights", question).json() == {"d": {"UserHasRights": True}}
    assert box.state.limits.used(caller.division) == (0, 0)
    box.deny(caller.division, "logistics/Items")
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
        assert caller.get(PATH).status_code == 400
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
        caller.get(PATH)
    assert caller.follow(url.format(*box.divisions)).status_code == 429


def test_errors_of_several_endpoints_and_divisions_are_counted_apart() -> None:
    box = new_box()
    caller = Caller(box)
    for path in (PATH, "logistics/Units"):
        for division in box.divisions:
            for _ in range(10):
                assert caller.get(path, division=division).status_code == 400
    assert caller.get(PATH, QUERY).status_code == 200


def test_a_call_during_the_block_makes_it_longer() -> None:
    box = new_box()
    caller = Caller(box)
    for _ in range(11):
        caller.get(PATH)
    box.clock.advance(3000)
    caller.token = box.issue_tokens()["access_token"]
    assert caller.get("logistics/Units", QUERY).status_code == 429
    box.clock.advance(590)
    assert caller.get(PATH, QUERY).status_code == 429
    box.clock.advance(3601)
    caller.token = box.issue_tokens()["access_token"]
    assert caller.get(PATH, QUERY).status_code == 200


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
        caller.get(PATH)
    assert caller.get(PATH, QUERY).status_code == 200
    box.clock.advance(3601)
    caller.token = box.issue_tokens()["access_token"]
    for _ in range(10):
        caller.get(PATH)
    assert caller.get(PATH, QUERY).status_code == 200
    assert box.state.errors.count(caller.division, PATH) == 10


def test_status_of_the_block_can_be_set() -> None:
    box = new_box()
    box.state.errors.status, box.state.errors.allowed = 403, 0
    caller = Caller(box)
    caller.get(PATH)
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


def test_unknown_division_is_out_of_scope() -> None:
    answer = Caller(new_box()).get(PATH, QUERY, division=42)
    assert answer.status_code == 403
    assert answer.headers["Reason"] == "NoDivisionAccess"
    assert error_text(answer) == "Forbidden - User division is not within division scope"
