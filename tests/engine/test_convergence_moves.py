"""Moves to another database, with and without a date, while lists of tombstones are hidden."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exact_source.engine.cursors import OVERLAP_MAX
from exact_source.sandbox import Sandbox
from exact_source.sandbox.clock import wall_clock
from tests.support.bench import Bench, small_box

ACCOUNTS = "crm/Accounts"
LINES = "financialtransaction/TransactionLines"
TOMBSTONES = "sync/Deleted"
DIVISIONS = "system/Divisions"
DAY_S = 86_400.0
FAR = 10_000  # row versions; more than are read again
# 02:50 in Amsterdam, ten minutes before the clocks are set back to 02:00.
BEFORE_THE_REPEATED_HOUR = datetime(2026, 10, 25, 0, 50, tzinfo=UTC)


class Accounts:
    """The accounts of a company, six at first, that are loaded by row version."""

    def __init__(self, page_size: int = 1000) -> None:
        self.box: Sandbox = small_box(
            {"accounts": ACCOUNTS}, companies=1, sync_order="key", large_page_size=page_size
        )
        self.bench = Bench(self.box)
        (self.division,) = self.box.divisions
        self.rows = self.box.rows(ACCOUNTS, self.division)

    def sync(self, **options: Any) -> None:
        results = self.bench.sync(["accounts"], divisions=[self.division], **options)
        assert [r.status for r in results] == ["complete"]
        self.wait(60)

    def wait(self, seconds: float) -> None:
        self.box.clock.advance(seconds)

    def delete(self, position: int) -> None:
        self.box.delete(ACCOUNTS, self.division, self.rows[position]["ID"])

    def rename(self, position: int, name: str) -> None:
        self.box.update(ACCOUNTS, self.division, self.rows[position]["ID"], {"Name": name})

    def replace_all(self, pause_s: float = 60.0) -> None:
        """Delete each row and create it again, while deletions are not read."""
        for row in self.rows:
            self.box.delete(ACCOUNTS, self.division, row["ID"])
        self.wait(pause_s)
        for row in self.rows:
            self.box.insert(ACCOUNTS, self.division, {name: row[name] for name in ("ID", "Name")})

    def others_write(self, by: int) -> None:
        store = self.box.state.store
        for versions in (store._common, *store.versions.values()):
            versions.last += by

    def move_unseen(self, **options: Any) -> None:
        """Create all rows again and move without a date; then the list of deletions is hidden."""
        self.sync(**options)
        self.replace_all()
        self.sync(deletes="ignore", **options)
        self.box.state.store.move(self.division)
        self.hide()

    def hide(self, path: str = TOMBSTONES) -> None:
        self.box.deny(self.division, path, "empty" if path == TOMBSTONES else "403")

    def show(self, path: str = TOMBSTONES) -> None:
        self.box.allow(self.division, path)

    def assert_equal(self) -> None:
        self.bench.assert_equal("accounts", "auto", [self.division])


def test_tombstones_hidden_in_a_move_in_the_repeated_hour_delete_no_row_created_again() -> None:
    """The deletion is dated 02:50, and the move, twenty minutes later, 02:10."""
    company = Accounts()
    company.sync()
    company.box.clock.set(BEFORE_THE_REPEATED_HOUR)
    company.replace_all(pause_s=15 * 60)
    company.sync(deletes="ignore")
    company.wait(4 * 60)
    company.box.move_division(company.division)
    company.hide()
    company.sync()
    company.show()
    company.sync()
    company.assert_equal()


def test_a_row_that_was_marked_when_all_rows_were_read_again_is_deleted_later() -> None:
    """The deletion may be from before the move, so a sync with soft deletes reads all rows again."""
    company = Accounts()
    company.box.move_division(company.division)
    company.sync()
    company.delete(0)
    company.sync(deletes="soft")
    company.sync()
    company.assert_equal()


def is_not_dated(company: Accounts) -> None:
    """The list of companies has no ``DivisionMoveDate``."""


def is_refused(company: Accounts) -> None:
    """The list of companies is refused."""
    company.hide(DIVISIONS)


@pytest.mark.parametrize("options", [{}, {"start_date": "2000-01-01"}], ids=["all", "dated"])
@pytest.mark.parametrize("how", [is_not_dated, is_refused])
def test_tombstones_hidden_in_a_move_without_a_date_delete_no_row_created_again(
    how: Callable[[Accounts], None], options: dict[str, Any]
) -> None:
    """The only sign of the move is that the versions are lower than the cursor."""
    company = Accounts()
    how(company)
    company.move_unseen(**options)
    company.sync(**options)
    company.show()
    company.sync(**options)
    company.assert_equal()


def test_tombstones_hidden_in_the_first_read_after_an_unknown_move_delete_no_row() -> None:
    company = Accounts()
    company.replace_all()
    company.box.move_division(company.division)
    company.hide(DIVISIONS)
    company.hide()
    company.wait(3600)
    company.sync()
    company.show()
    company.sync()
    company.assert_equal()


def test_tombstones_hidden_in_the_first_read_after_a_move_without_a_date_delete_no_row() -> None:
    """Nothing shows the second pipeline that the division has moved."""
    company = Accounts()
    company.move_unseen()
    company.bench = company.bench.writer(0.0)
    company.sync()
    company.show()
    company.sync()
    company.assert_equal()


def test_tombstones_hidden_in_a_part_of_the_first_read_delete_no_row() -> None:
    company = Accounts(page_size=4)
    company.replace_all()
    company.box.state.store.move(company.division)
    company.others_write(FAR)
    company.rename(0, "so far above the rest that the next scan begins above it")
    company.hide()
    company.bench.sync(["accounts"], rounds=1, max_pages=1)
    company.wait(60)
    company.show()
    company.sync()
    company.assert_equal()


def with_restored_table(*, moves: bool = False) -> Accounts:
    """Two deletions were applied, then the table was replaced by a backup from before them."""
    company = Accounts()
    company.sync()
    company.bench.back_up("accounts")
    company.delete(0)
    if moves:
        company.box.move_division(company.division)
    company.sync()
    company.others_write(FAR)
    company.delete(1)
    company.sync()
    company.bench.restore("accounts")
    return company


@pytest.mark.parametrize("moves", [True, False])
def test_deleted_rows_of_a_restored_table_go_after_a_sync_that_keeps_them(moves: bool) -> None:
    """Their tombstones were applied to the table from before."""
    company = with_restored_table(moves=moves)
    company.sync(deletes="ignore")
    company.sync()
    company.assert_equal()


def test_deleted_rows_of_a_restored_table_go_though_they_are_older_than_the_start() -> None:
    """The pass that replaces the lost rows does not return them."""
    company = with_restored_table()
    company.sync(start_date="2026-03-09")
    company.assert_equal()


def test_a_refresh_keeps_in_mind_that_tombstones_were_hidden_in_a_move() -> None:
    company = Accounts()
    company.move_unseen()
    company.sync()
    company.sync(full_refresh=frozenset({"accounts"}))
    company.show()
    company.sync()
    company.assert_equal()


def test_a_move_is_noticed_once_the_list_of_companies_is_no_longer_refused() -> None:
    """The versions showed no sign of it, because others had written beyond the cursor."""
    company = Accounts()
    company.hide(DIVISIONS)
    company.sync()
    company.rename(0, "behind the cursor")
    company.box.move_division(company.division)
    company.others_write(10_000_000_000)
    company.rename(1, "beyond the cursor")
    company.wait(DAY_S)
    company.sync()
    company.show(DIVISIONS)
    company.sync()
    company.assert_equal()


def with_hidden_deletion() -> Accounts:
    """Two deletions were listed and applied; the list is hidden, and a third row is deleted."""
    company = Accounts()
    company.delete(5)
    company.sync()
    company.delete(4)
    company.sync()
    company.hide()
    company.delete(3)
    return company


def test_deletions_that_expired_while_their_list_was_hidden_are_found() -> None:
    """An empty list does not prove that nothing was deleted, even if it was not empty before."""
    company = with_hidden_deletion()
    for _ in range(10):
        company.wait(8 * DAY_S)
        company.box.state.store.forget_old_tombstones(company.division)
        company.sync()
    company.show()
    company.sync()
    company.assert_equal()


def test_deletions_that_expired_between_two_comparisons_of_keys_are_found() -> None:
    """The list is no longer empty when the keys are compared."""
    company = with_hidden_deletion()
    for days in (1, 39):
        company.wait(days * DAY_S)
        company.sync(reconcile_days=65)
    company.wait(30 * DAY_S)
    company.box.state.store.forget_old_tombstones(company.division)
    company.show()
    company.delete(2)
    company.sync(reconcile_days=65)
    company.assert_equal()


class Lines:
    """Transaction lines, which have tombstones but are loaded by ``Modified``, and accounts."""

    def __init__(self, page_size: int = 1000) -> None:
        self.box: Sandbox = small_box(
            {"accounts": ACCOUNTS, "transaction_lines": LINES},
            companies=1,
            sync_order="key",
            large_page_size=page_size,
        )
        self.bench = Bench(self.box)
        (self.division,) = self.box.divisions
        self.rows = self.box.rows(LINES, self.division)

    def sync(self, names: Sequence[str], **options: Any) -> None:
        results = self.bench.sync(names, **options)
        assert [r.status for r in results] == ["complete"] * len(names)
        self.box.clock.advance(60)

    def insert(self, key: str) -> None:
        row = {"ID": key, "EntryID": key, "LineNumber": 1}
        self.box.insert(LINES, self.division, row)

    def delete(self, key: str) -> None:
        self.box.delete(LINES, self.division, key)

    def assert_equal(self) -> None:
        self.bench.assert_equal("transaction_lines", "auto", [self.division])


@pytest.mark.parametrize(
    "names",
    [["transaction_lines"], ["accounts", "transaction_lines"]],
    ids=["alone", "with a list by version"],
)
def test_deletions_after_a_move_without_a_date_are_found_in_rows_without_versions(
    names: list[str],
) -> None:
    """The versions of their tombstones are lower than those that were applied."""
    company = Lines()
    company.sync(names)
    company.delete(company.rows[0]["ID"])
    company.sync(names)
    company.box.state.store.move(company.division)
    company.delete(company.rows[1]["ID"])
    company.sync(names)
    company.assert_equal()


def test_a_list_of_tombstones_that_stays_empty_takes_one_call() -> None:
    """Except for the first time: then it is read from its start."""
    company = Lines()
    company.sync(["transaction_lines"])
    company.delete(company.rows[0]["ID"])
    company.sync(["transaction_lines"])
    for calls in (1, 2, 1, 1):
        company.box.clock.advance(40 * DAY_S)
        company.box.state.store.forget_old_tombstones(company.division)
        begun = len(company.box.requests)
        company.sync(["transaction_lines"])
        paths = [r.path for r in company.box.requests[begun:]]
        assert paths.count(TOMBSTONES) == calls
    company.assert_equal()


def test_a_first_read_after_a_move_without_a_date_ignores_the_versions_of_tombstones() -> None:
    """A version of the database before the move did not exist when the read began."""
    company = Lines(page_size=2)
    company.sync(["transaction_lines"])
    company.delete(company.rows[0]["ID"])
    company.sync(["transaction_lines"])
    company.box.state.store.move(company.division)
    company.box.deny(company.division, TOMBSTONES, "empty")
    store, box, changes = company.box.state.store, company.box, ["once"]
    keys = [row["ID"] for row in box.rows(ACCOUNTS, company.division)]
    begun = len(box.requests)

    def change_behind_the_read() -> None:
        if changes and "sync/CRM/Accounts" in {r.path for r in box.requests[begun:]}:
            changes.clear()
            box.update(ACCOUNTS, company.division, keys[0], {"Name": "behind"})
            store.versions[company.division].last += 6_000
            box.update(ACCOUNTS, company.division, keys[-1], {"Name": "in front"})

    company.sync(["accounts", "transaction_lines"], during=change_behind_the_read)
    assert not changes
    company.sync(["accounts", "transaction_lines"])
    company.bench.assert_equal("accounts", "auto", [company.division])


@pytest.mark.parametrize("syncs", [1, 2])
def test_a_move_without_a_date_is_noticed_after_the_newest_row_was_deleted(syncs: int) -> None:
    """Then no row at the cursor tells that the versions are still those of the same database."""
    company = Accounts()
    for versions in (company.box.state.store._common, *company.box.state.store.versions.values()):
        versions.last += 6_000
    company.rename(0, "newest")
    company.sync()
    company.delete(0)
    for _ in range(syncs):
        company.sync()
    company.hide()
    company.box.state.store.move(company.division)
    company.rename(1, "after the move")
    company.sync()
    company.assert_equal()


def test_a_tombstone_that_commits_behind_many_others_is_applied() -> None:
    """More are read again than a cursor remembers as applied."""
    company = Lines()

    def key(number: int) -> str:
        return f"aaaaaaaa-0000-4000-8000-{number:012x}"

    for number in range(OVERLAP_MAX + 2):
        row = {"ID": key(number), "EntryID": key(number), "LineNumber": 1}
        company.box.insert(LINES, company.division, row)
    company.sync(["transaction_lines"])
    company.box.clock.advance(7200)
    store = company.box.state.store
    first = store.next_version(company.division)
    for number in range(OVERLAP_MAX + 1):
        company.delete(key(number))
    company.sync(["transaction_lines"])
    company.delete(key(OVERLAP_MAX + 1))
    table = store.table(company.division, "deleted")
    late = key(OVERLAP_MAX + 1)
    (newest,) = (at for at, row in table.rows.items() if row["EntityKey"] == late)
    table.put({**table.remove(newest), "Timestamp": first})
    company.sync(["transaction_lines"])
    company.assert_equal()


def test_a_row_that_was_changed_and_deleted_in_the_repeated_hour_is_deleted() -> None:
    """It was changed at 02:50, and deleted twenty minutes later, at 02:10."""
    company = Lines()
    company.sync(["transaction_lines"])
    company.box.clock.set(BEFORE_THE_REPEATED_HOUR)
    company.delete(company.rows[-1]["ID"])  # else the list would be empty, as a hidden one is
    key = company.rows[0]["ID"]
    company.box.update(LINES, company.division, key, {"Notes": "changed"})
    company.sync(["transaction_lines"])
    company.box.clock.advance(19 * 60)
    company.delete(key)
    company.sync(["transaction_lines"])
    company.assert_equal()


@pytest.mark.parametrize("begins", [None, BEFORE_THE_REPEATED_HOUR], ids=["spring", "autumn"])
def test_a_row_that_was_read_after_its_deletion_stays_although_its_time_is_earlier(
    begins: datetime | None,
) -> None:
    """It was created again with a time before its deletion, while the list of deletions was hidden."""
    company, names = Lines(), ["transaction_lines"]
    if begins is not None:
        company.box.clock.set(begins)
    company.sync(names)
    key = company.rows[0]["ID"]
    deleted_at = wall_clock(company.box.clock.now())
    company.box.deny(company.division, TOMBSTONES, "empty")
    company.delete(key)
    company.box.clock.advance(15 * 60)
    company.insert(key)
    company.box.touch(LINES, company.division, modified=deleted_at - timedelta(minutes=1))
    company.sync(names)
    company.box.clock.advance(DAY_S)
    company.box.update(LINES, company.division, company.rows[1]["ID"], {"Notes": "changed"})
    company.sync(names)  # the next sync does not read the row created again
    company.box.allow(company.division, TOMBSTONES)
    company.sync(names)
    company.assert_equal()


def test_a_comparison_of_keys_that_a_run_did_not_reach_is_made_by_the_next() -> None:
    company = Lines(page_size=2)
    names = ["transaction_lines"]
    key, *others, gone = [row["ID"] for row in company.rows]
    company.sync(names)
    company.box.clock.set(BEFORE_THE_REPEATED_HOUR)
    company.delete(gone)  # else the list would be empty, as a hidden one is
    company.box.update(LINES, company.division, key, {"Notes": "changed"})
    company.sync(names)
    company.box.clock.advance(19 * 60)
    company.delete(key)
    for other in others:
        company.box.update(LINES, company.division, other, {"Notes": "changed, too"})
    (result,) = company.bench.sync(names, rounds=1, max_pages=1)
    assert result.status != "complete"
    company.sync(names)
    company.assert_equal()


@pytest.mark.parametrize("names", [["accounts"], ["accounts", "journals"]], ids=["alone", "both"])
def test_tombstones_are_read_from_the_last_one_whatever_else_is_loaded(names: list[str]) -> None:
    """No tombstone moves the position of an entity that has none."""
    paths = {"accounts": ACCOUNTS, "journals": "financial/Journals"}
    box = small_box(paths, companies=1)
    bench, (division,) = Bench(box), box.divisions
    store = box.state.store
    for row in box.rows(ACCOUNTS, division)[:3]:
        for versions in (store._common, *store.versions.values()):
            versions.last += FAR
        box.delete(ACCOUNTS, division, row["ID"])
        begun = len(box.requests)
        assert {r.status for r in bench.sync(names)} == {"complete"}
        box.clock.advance(60)

    asked = [r.query["$filter"] for r in box.requests[begun:] if r.path == TOMBSTONES]
    assert len(asked) == 1
    assert asked != ["Timestamp gt 1L"]


def test_a_tombstone_that_expires_before_an_older_one_makes_one_read_of_all_rows() -> None:
    company = Accounts()
    company.sync()
    company.delete(0)
    company.others_write(FAR)
    for position in (5, 4):
        company.delete(position)
    company.sync()
    listed = company.box.state.store.table(company.division, "deleted")
    listed.remove(max(listed.rows, key=lambda key: listed.rows[key]["Timestamp"]))
    rows = []
    for _ in range(3):
        (result,) = company.bench.sync(["accounts"], divisions=[company.division])
        rows.append(result.rows)
        company.wait(3600)

    assert rows == [3, 0, 0]
    company.assert_equal()


def test_keys_are_not_compared_because_rows_were_created_again_within_an_hour() -> None:
    company, names = Lines(page_size=50), ["transaction_lines"]
    keys = [f"aaaaaaaa-0000-4000-8000-{number:012x}" for number in range(OVERLAP_MAX + 50)]
    for key in keys:
        company.insert(key)
    company.sync(names)
    company.box.clock.advance(7200)
    company.sync(names)
    for key in keys:
        company.delete(key)
    company.box.clock.advance(60)
    for key in keys:
        company.insert(key)
    company.sync(names)
    begun = len(company.box.requests)
    for _ in range(2):
        company.box.clock.advance(6 * 3600)
        company.sync(names)

    asked = [str(r.query.get("$select")) for r in company.box.requests[begun:] if "Lines" in r.path]
    assert [fields for fields in asked if "Notes" not in fields] == []
    company.assert_equal()
