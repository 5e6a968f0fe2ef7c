"""Clocks that are off, tables that lose rows, rows in two states, and state of newer versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from exact_source.client.retry import ATTEMPTS
from exact_source.client.transport import url_of
from exact_source.engine.cursors import OVERLAP_MAX, Cursor, Scan
from exact_source.engine.empty_lists import CONFIRM_S
from exact_source.sandbox.clock import wall_clock
from tests.support.bench import Bench, HostClock, small_box
from tests.support.world import billed

DAY_S = 86_400
HOUR_S = 3_600
PATHS = {
    "accounts": "crm/Accounts",
    "journals": "financial/Journals",
    "units": "logistics/Units",
    "transaction_lines": "financialtransaction/TransactionLines",
}


class Company(Bench):
    """One company, and a host whose clock may be off."""

    clock: HostClock

    def __init__(self) -> None:
        super().__init__(small_box(PATHS, companies=1, page_size=60, large_page_size=1000))
        self.clock = HostClock(self.box.clock)
        (self.division,) = self.box.divisions

    def ids(self, entity: str) -> list[str]:
        return sorted(str(row["ID"]) for row in self.box.rows(PATHS[entity], self.division))

    def compare(self, entity: str, route: str = "auto") -> None:
        self.assert_equal(entity, route, [self.division])


@pytest.fixture
def company() -> Company:
    return Company()


# -- clocks (D2, D3) -------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead_s", [120.0, 2 * DAY_S, -2 * DAY_S])
def test_rows_that_a_pass_does_not_return_are_deleted_whatever_the_clock_says(
    company: Company, ahead_s: float
) -> None:
    company.clock.ahead_s = ahead_s
    company.sync(["units"])
    company.clock.ahead_s = 0.0
    company.box.delete("logistics/Units", company.division, company.ids("units")[0])
    (result,) = company.sync(["units"])

    assert (result.status, result.deleted) == ("complete", 1)
    company.compare("units")


def test_rows_stamped_in_the_future_by_another_host_are_deleted(company: Company) -> None:
    company.sync(["units"])
    for row in company.ledger.rows_of["units"].values():
        row["_synced_at"] += timedelta(days=2)
    company.box.delete("logistics/Units", company.division, company.ids("units")[0])
    (result,) = company.sync(["units"])

    assert (result.status, result.deleted) == ("complete", 1)
    company.compare("units")


def test_rows_that_were_read_again_stay_although_another_host_was_ahead(company: Company) -> None:
    """A pass over several runs knows the rows of its earlier rounds by their stamps alone."""
    for key in company.ids("units"):
        company.box.insert("logistics/Units", company.division, {"ID": f"1{key[1:]}", "Code": "x"})
    company.box.state.settings.page_size = 2
    company.sync(["units"])
    for row in company.ledger.rows_of["units"].values():
        row["_synced_at"] += timedelta(days=2)
    company.box.update("logistics/Units", company.division, company.ids("units")[0], {"Code": "y"})
    (result,) = company.sync(["units"], max_pages=1, full_refresh=["units"])

    assert (result.status, result.deleted) == ("complete", 0)
    company.compare("units")


def test_a_list_is_compared_once_more_after_rows_were_deleted(company: Company) -> None:
    company.sync(["units"])
    company.box.delete("logistics/Units", company.division, company.ids("units")[0])
    company.sync(["units"])

    assert company.ledger.cursors["units", company.division].digest == ""
    company.sync(["units"])
    assert company.ledger.cursors["units", company.division].digest != ""


@pytest.mark.parametrize("ahead_h", [-24, 2, 5, 24])
def test_a_row_that_is_committed_late_is_loaded_whatever_the_clock_says(
    company: Company, ahead_h: int
) -> None:
    company.clock.ahead_s = ahead_h * HOUR_S
    names, route, path = ["transaction_lines"], "regular", PATHS["transaction_lines"]
    company.sync(names, route=route)
    company.box.clock.advance(3 * HOUR_S)
    first, second, *_ = company.ids("transaction_lines")
    began = wall_clock(company.box.clock.now())
    company.box.clock.advance(20 * 60)
    company.box.update(path, company.division, first, {"Description": "later"})
    company.sync(names, route=route)
    company.box.update(path, company.division, second, {"Description": "late", "Modified": began})
    company.sync(names, route=route)

    company.compare("transaction_lines", route)
    cursor = company.ledger.cursors["transaction_lines", company.division]
    assert abs(cursor.read_at - company.box.clock.now()) < HOUR_S


def test_stamps_rise_although_the_clock_is_set_back(company: Company) -> None:
    run = company.make_run()
    first = run.next_stamp()
    company.clock.ahead_s = -DAY_S

    assert run.next_stamp() > first


# -- tables that lose rows (D5) --------------------------------------------------------------------


def lose_all(rows: dict[Any, Any]) -> None:
    rows.clear()


def lose_one(rows: dict[Any, Any]) -> None:
    rows.pop(next(iter(rows)))


@pytest.mark.parametrize("entity", ["accounts", "journals", "units"])
@pytest.mark.parametrize("lose", [lose_all, lose_one])
def test_a_table_that_lost_rows_is_read_again(
    company: Company, entity: str, lose: Callable[[dict[Any, Any]], None]
) -> None:
    company.sync([entity])
    company.sync([entity])
    lose(company.ledger.rows_of[entity])
    (result,) = company.sync([entity])

    assert result.status == "complete"
    assert result.notes
    company.compare(entity)
    assert company.sync([entity])[0].rows == 0


@pytest.mark.parametrize("entity", ["journals", "transaction_lines"])
def test_lost_rows_are_read_again_although_a_round_ends_before_their_first_page(
    company: Company, entity: str
) -> None:
    names = ["journals", "transaction_lines"]
    settings = company.box.state.settings
    settings.page_size = settings.large_page_size = 2
    company.sync(names)
    company.sync(names)
    lose_one(company.ledger.rows_of[entity])
    results = company.sync(names, max_pages=1)

    assert {r.status for r in results} == {"complete"}
    company.compare(entity)


@pytest.mark.parametrize("entity", ["accounts", "journals", "transaction_lines", "units"])
def test_a_table_that_was_restored_with_as_many_rows_is_read_again(
    company: Company, entity: str
) -> None:
    company.sync([entity])
    backup = dict(company.ledger.rows_of[entity])
    column = "Notes" if entity == "transaction_lines" else "Description"
    column = "Name" if entity == "accounts" else column
    company.box.update(PATHS[entity], company.division, company.ids(entity)[0], {column: "new"})
    company.sync([entity])
    company.ledger.rows_of[entity] = backup
    (result,) = company.sync([entity])

    assert result.status == "complete"
    assert result.notes
    company.compare(entity)
    assert company.sync([entity])[0].rows == 0


def test_a_table_whose_rows_are_all_there_is_not_read_again(company: Company) -> None:
    names = ["accounts", "journals"]
    company.sync(names)
    for entity in names:
        one, other, *_ = company.ids(entity)
        company.box.delete(PATHS[entity], company.division, one)
        company.box.update(PATHS[entity], company.division, other, {"Code": "77"})
    company.sync(names, reconcile_days=0)
    calls = len(company.box.requests)
    results = company.sync(names)

    assert not any("again" in note for result in results for note in result.notes)
    assert len(company.box.requests) - calls == 3 + len(names)
    counted = sum(result.calls + result.shared_calls for result in results)
    assert counted == len(billed(company.box.requests[calls:]))


# -- empty answers (D4) ----------------------------------------------------------------------------


def empty(company: Company) -> None:
    company.sync(["units"])
    for key in company.ids("units"):
        company.box.delete("logistics/Units", company.division, key)


def test_an_empty_answer_is_confirmed_by_a_second_one_where_rights_are_unknown(
    company: Company,
) -> None:
    empty(company)
    company.box.fault("500", times=100, path="users/UserHasRights")
    (first,) = company.sync(["units"])
    held = len(company.keys("units", company.division))
    company.box.clock.advance(CONFIRM_S)
    (second,) = company.sync(["units"])

    assert (first.status, first.code) == ("incomplete", "empty")
    assert "units" in first.error
    assert held > 0
    assert second.status == "complete"
    assert company.keys("units", company.division) == set()


def test_a_list_is_read_by_each_sync_although_its_rights_stay_unknown(company: Company) -> None:
    empty(company)
    company.box.fault("500", times=1000, path="users/UserHasRights")
    began, calls = company.box.clock.now(), []
    for _ in range(5):
        before = len(company.box.requests)
        company.sync(["units"])
        sent = Counter(request.path for request in company.box.requests[before:])
        calls.append((sent["logistics/Units"], sent["users/UserHasRights"]))

    assert company.box.clock.now() - began < HOUR_S
    assert calls == [(1, ATTEMPTS)] * 5


def hide_units(company: Company) -> None:
    """Let the list of units be empty; ``$count`` still counts its rows."""
    send = company.wire.handle_async_request

    async def answer(request: httpx.Request) -> httpx.Response:
        response = await send(request)
        if url_of(request).partition("?")[0].endswith("/logistics/Units"):
            return httpx.Response(200, json={"d": {"results": []}})
        return response

    company.wire.handle_async_request = answer  # type: ignore[method-assign]


def test_an_empty_answer_is_not_believed_too_soon_or_if_rows_are_counted(company: Company) -> None:
    company.sync(["units"])
    held = company.keys("units", company.division)
    company.box.fault("500", times=100, path="users/UserHasRights")
    hide_units(company)
    ends = []
    for pause_s in (0, CONFIRM_S - HOUR_S, 2 * HOUR_S):
        company.box.clock.advance(pause_s)
        (result,) = company.sync(["units"])
        counted = [r.status for r in company.box.requests if r.path == "logistics/Units/$count"]
        ends.append((result.status, result.code, counted))

    assert ends == [
        ("incomplete", "empty", []),
        ("incomplete", "empty", []),
        ("incomplete", "empty", [200]),
    ]
    assert held
    assert company.keys("units", company.division) == held


def test_an_empty_answer_is_believed_at_once_if_the_user_says_so(company: Company) -> None:
    empty(company)
    company.box.fault("404", times=100, path="users/UserHasRights")
    (result,) = company.sync(["units"], trust_empty=frozenset({"units"}))

    assert result.status == "complete"
    assert company.keys("units", company.division) == set()


# -- rows that are read again (D6) -----------------------------------------------------------------


def test_a_large_overlap_is_loaded_once_if_nothing_changed() -> None:
    """A first load of hours ago has more rows in its overlap than are remembered one by one."""
    company = Company()
    path = PATHS["transaction_lines"]
    for number in range(2 * OVERLAP_MAX):
        key = f"11111111-0000-4000-8000-{number:012x}"
        line = {"ID": key, "EntryID": key, "LineNumber": 1, "Notes": str(number)}
        company.box.insert(path, company.division, line)
    names, rows = ["transaction_lines"], []
    for change in (False, False, False, True, False, False):
        if change:
            company.box.update(path, company.division, key, {"Notes": "changed"})
        (result,) = company.sync(names, route="bulk")
        rows.append(result.rows)
        company.compare("transaction_lines", "bulk")
        company.box.clock.advance(60)

    assert rows[0] > 2 * OVERLAP_MAX
    assert rows[2] == rows[5] == 0
    assert rows[3] > 0


# -- rows in two states (D11) ----------------------------------------------------------------------


@pytest.mark.parametrize("route", ["sync", "bulk", "regular"])
def test_a_row_that_is_deleted_and_created_within_a_clock_step_stays(
    company: Company, route: str
) -> None:
    company.sync(["accounts"], route=route)
    key = company.ids("accounts")[0]
    company.box.update("crm/Accounts", company.division, key, {"Name": "first"})
    company.sync(["accounts"], route=route)
    kept = next(r for r in company.box.rows("crm/Accounts", company.division) if r["ID"] == key)
    company.box.delete("crm/Accounts", company.division, key)
    company.box.insert("crm/Accounts", company.division, dict(kept))
    for _ in range(3):
        company.sync(["accounts"], route=route)

    company.compare("accounts", route)


# -- state of newer versions (D12) -----------------------------------------------------------------


def test_fields_of_a_newer_version_are_kept_and_ignored() -> None:
    scan = {"since": None, "started_at": 1.0, "speed": "fast"}
    state = {"column": "Timestamp", "value": 7, "colour": ["red"], "scan": scan}
    cursor = Cursor.from_state(state)

    assert (cursor.value, cursor.scan and cursor.scan.started_at) == (7, 1.0)
    written = cursor.to_state()
    assert written["colour"] == ["red"]
    assert written["scan"]["speed"] == "fast"
    assert Cursor.from_state(written) == cursor
    assert cursor.scan == Scan(since=None, started_at=1.0)


# -- stops -----------------------------------------------------------------------------------------


def test_no_call_follows_a_stop_request() -> None:
    bench = Bench(small_box(PATHS, companies=30, page_size=60, large_page_size=1000))
    runs = []
    make_run = bench.make_run

    def keep_run(**options: Any) -> Any:
        runs.append(make_run(**options))
        return runs[-1]

    def stop_at_the_tenth_call() -> None:
        if len(bench.box.requests) == 9:
            runs[-1].rounds.request_stop()

    bench.make_run = keep_run  # type: ignore[method-assign]
    results = bench.sync(["accounts", "journals", "units"], during=stop_at_the_tenth_call)

    # One call of each company was under way already; without the stop there are 92.
    assert len(bench.box.requests) <= 9 + 30
    assert {result.status for result in results} <= {"complete", "incomplete", "waiting"}
    assert "incomplete" in {result.status for result in results}
