"""Sequences that chance hardly ever makes up, and the mistake that each of them finds."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exact_source.client import withdrawn_columns as dropping
from exact_source.engine import cursors, tombstones
from exact_source.engine.cursors import Scan
from exact_source.engine.deletes import DeletedRows
from exact_source.sandbox import Sandbox
from exact_source.sandbox.clock import wall_clock
from tests.engine.test_convergence_mutants import Patch, attribute, without_overlap
from tests.support.bench import TWINS, Bench, small_box

Change = Callable[[], None]

ACCOUNTS = "crm/Accounts"
FAR = 6_000  # row versions; more than are read again
HOUR_S = 3600.0
WEEK_S = 7 * 86_400


class Accounts:
    """The accounts of a company, six at first, that are loaded by row version in pages of this size."""

    def __init__(self, page_size: int) -> None:
        self.box: Sandbox = small_box(
            {"accounts": ACCOUNTS}, companies=1, sync_order="key", large_page_size=page_size
        )
        self.bench = Bench(self.box)
        (self.division,) = self.box.divisions
        self.store = self.box.state.store
        self.keys: list[str] = [row["ID"] for row in self.box.rows(ACCOUNTS, self.division)]

    def others_write(self, by: int) -> None:
        for versions in (self.store._common, *self.store.versions.values()):
            versions.last += by

    def rename(self, position: int) -> None:
        self.box.update(ACCOUNTS, self.division, self.keys[position], {"Name": "changed"})

    def insert(self, key: str, **more: Any) -> None:
        self.box.insert(ACCOUNTS, self.division, {"ID": key, "Name": "new", "Code": "77", **more})

    def delete(self, position: int, tombstone: str) -> None:
        """Delete a row; its tombstone has this key, which says where in the list it stands."""
        self.box.delete(ACCOUNTS, self.division, self.keys[position])
        table = self.store.table(self.division, "deleted")
        newest = max(table.rows, key=lambda key: table.rows[key]["Timestamp"])
        table.put({**table.remove(newest), "ID": tombstone})

    def sync(self, change: Change | None = None, path: str = "sync/CRM/Accounts") -> None:
        """Sync; the change happens once the first page of ``path`` has been read."""
        begun, changes = len(self.box.requests), [change] if change else []

        def during() -> None:
            if changes and path in {r.path for r in self.box.requests[begun:]}:
                changes.pop()()

        results = self.bench.sync(["accounts"], during=during)
        assert [r.status for r in results] == ["complete"]
        assert not changes
        self.box.clock.advance(60)

    def assert_equal(self) -> None:
        self.bench.assert_equal("accounts", "auto", [self.division])


def guid(start: str) -> str:
    return f"{start * 8}-0000-4000-8000-000000000000"


def a_row_commits_late() -> None:
    """Its version is below that of a row which was there first."""
    company = Accounts(page_size=100)
    company.others_write(100)
    company.rename(0)
    company.sync()
    version = next(iter(company.bench.ledger.cursors.values())).value
    assert version is not None
    company.insert(guid("f"), Timestamp=version - 50)
    company.rename(1)  # so that the next read does not come back empty, which is noticed
    company.sync()
    company.assert_equal()


def a_row_changes_behind_the_reading() -> None:
    """And long after it another one in front, so that the highest version met is far above the first."""
    company = Accounts(page_size=2)

    def change() -> None:
        company.rename(0)
        company.others_write(FAR)
        company.rename(-1)

    company.sync(change)
    company.sync()
    company.assert_equal()


def a_row_goes_behind_the_reading_of_tombstones() -> None:
    """And long after it another one, whose tombstone is still met."""
    company = Accounts(page_size=2)
    company.sync()
    company.delete(0, guid("4"))
    company.delete(1, guid("5"))

    def change() -> None:
        company.delete(2, guid("0"))
        company.others_write(FAR)
        company.delete(3, guid("f"))

    company.sync(change, path="sync/Deleted")
    company.sync()
    company.assert_equal()


def a_row_is_created_again_before_its_tombstone_is_read() -> None:
    """Its feed has no ``Timestamp``, so that only ``Modified`` says that it is newer."""
    path = "financialtransaction/TransactionLines"
    box = small_box({"transaction_lines": path}, companies=1)
    (division,), bench = box.divisions, Bench(box)
    row, other = box.rows(path, division)[:2]

    def sync(**options: Any) -> None:
        bench.sync(["transaction_lines"], route="bulk", **options)
        box.clock.advance(WEEK_S)  # far more than the overlap of two reads

    sync()
    box.delete(path, division, row["ID"])
    box.clock.advance(60)
    box.insert(path, division, {"ID": row["ID"], "Description": "new"})
    sync(deletes="ignore")
    box.touch(path, division, [other["ID"]])
    sync(deletes="ignore")
    sync()
    bench.assert_equal("transaction_lines", "bulk", [division])


def no_overlap_of_timestamp(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cursors, "overlap", without_overlap("Timestamp"))


def only_by_timestamp(patch: pytest.MonkeyPatch) -> None:
    """Rows without ``Timestamp`` are deleted by their tombstone, however new they are or were read."""
    held = DeletedRows._versions

    def versions(self: DeletedRows, keys: list[str], column: str) -> dict[str, Any]:
        found = held(self, keys, column)
        return found if column == "timestamp" else dict.fromkeys(found, datetime(1970, 1, 1))  # noqa: DTZ001

    patch.setattr(DeletedRows, "_versions", versions)


def the_last_page_of_tombstones_counts(patch: pytest.MonkeyPatch) -> None:
    read = dropping.read_list

    async def backwards(*args: Any, **more: Any) -> list[Any]:
        return list(reversed(await read(*args, **more)))

    patch.setattr(tombstones, "read_list", backwards)


# Sequence -> the mistake that it finds.
MISTAKES: dict[Change, Patch] = {
    a_row_commits_late: no_overlap_of_timestamp,
    a_row_changes_behind_the_reading: attribute(Scan, "safe", property(lambda scan: scan.top)),
    a_row_goes_behind_the_reading_of_tombstones: the_last_page_of_tombstones_counts,
    a_row_is_created_again_before_its_tombstone_is_read: only_by_timestamp,
}
each = pytest.mark.parametrize("sequence", MISTAKES, ids=lambda sequence: sequence.__name__)


@each
def test_such_a_sequence_ends_with_the_truth(sequence: Change) -> None:
    sequence()


@each
def test_such_a_sequence_finds_its_mistake(
    sequence: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    MISTAKES[sequence](monkeypatch)
    with pytest.raises(AssertionError, match=r"^(accounts|transaction_lines)"):
        sequence()


def test_deletions_are_seen_after_a_move_that_only_the_versions_tell_of() -> None:
    """A restored backup has no ``DivisionMoveDate``; its versions may be lower."""
    company = Accounts(page_size=100)
    company.delete(5, guid("5"))
    company.sync()
    company.store.move(company.division)
    company.rename(0)
    company.sync()
    company.delete(1, guid("1"))
    company.sync()
    company.assert_equal()


@pytest.mark.parametrize("kind", TWINS)
def test_a_row_that_a_full_list_shows_in_two_states_ends_with_the_newer_one(kind: str) -> None:
    """``bulk/Cashflow/Receivables`` cannot be filtered by ``Modified``, but its rows have it (API 4.4)."""
    path = "cashflow/Receivables"
    box = small_box({"receivables": path}, companies=1, large_page_size=3)
    (division,) = box.divisions
    bench, key = Bench(box), box.rows(path, division)[0]["ID"]

    def sync() -> None:
        results = bench.sync(["receivables"], route="bulk")
        assert [(r.status, r.feed) for r in results] == [("complete", "bulk, in full")]
        box.clock.advance(60)

    for name in ("older", "newer"):
        box.update(path, division, key, {"Description": name})
        sync()
    bench.wire.trouble = [kind]
    sync()

    assert bench.wire.did[kind] == 1
    bench.assert_equal("receivables", "bulk", [division])


# How the sync ends that applies the deletion, and whether the sync before it had begun the scan.
BROKEN_OFF = {
    "on its second page": ({"max_pages": 1, "rounds": 1}, False),
    "with a scan from before": ({"rounds": 1}, True),
    "with the rest of a scan from before": ({"max_pages": 2, "rounds": 1}, True),
}


@pytest.mark.parametrize("how", BROKEN_OFF)
def test_a_row_that_was_loaded_again_before_its_deletion_is_applied_comes_back(how: str) -> None:
    """Its time of change is before its deletion, as in a repeated hour; keys are never compared."""
    path, ending, begins_before = "financialtransaction/TransactionLines", *BROKEN_OFF[how]
    box = small_box({"transaction_lines": path}, companies=1, large_page_size=1)
    (division,), bench = box.divisions, Bench(box)
    rows = sorted(box.rows(path, division), key=lambda row: row["ID"])

    def sync(**options: Any) -> None:
        bench.sync(["transaction_lines"], reconcile_days=None, **options)
        box.clock.advance(60)

    sync()
    for row in rows[0], rows[-1]:
        box.delete(path, division, row["ID"])
    box.clock.advance(60)
    for row in rows[0], rows[-1]:
        box.insert(path, division, {n: row[n] for n in ("ID", "Description", "AmountDC")})
    moment = wall_clock(box.clock.now()) - timedelta(seconds=600)
    box.touch(path, division, modified=moment)
    sync(deletes="ignore")
    if begins_before:
        sync(deletes="ignore", max_pages=2, rounds=1)
    sync(**ending)
    sync()

    bench.assert_equal("transaction_lines", "auto", [division])


@pytest.mark.parametrize("hides", [True, False], ids=["hidden", "seen"])
def test_tombstones_from_before_a_move_delete_no_row_that_was_created_again(hides: bool) -> None:
    """Another database has versions of its own; an empty list does not say that there were none."""
    path = "crm/Accounts"
    box = small_box({"accounts": path}, companies=1)
    (division,), bench = box.divisions, Bench(box)
    rows = box.rows(path, division)

    def sync(**options: Any) -> None:
        bench.sync(["accounts"], **options)
        box.clock.advance(60)

    sync()
    for row in rows:
        box.delete(path, division, row["ID"])
    box.clock.advance(60)
    for row in rows:
        box.insert(path, division, {n: row[n] for n in ("ID", "Name")})
    sync(deletes="ignore")
    box.move_division(division)
    if hides:
        box.deny(division, "sync/Deleted", "empty")
    sync()
    box.allow(division)
    sync()

    bench.assert_equal("accounts", "auto", [division])


@pytest.mark.parametrize("why", ["a refresh", "a move", "a restored backup"])
def test_deletions_that_are_left_to_a_pass_are_found_although_another_sync_ends_it(
    why: str,
) -> None:
    """That sync deletes nothing, and the tombstones counted as applied."""
    company = Accounts(page_size=2)
    company.sync()
    company.box.delete(ACCOUNTS, company.division, company.keys[0])
    if why == "a move":
        company.box.move_division(company.division)
    elif why == "a restored backup":
        company.store.move(company.division)
    again = {"accounts"} if why == "a refresh" else set[str]()
    company.bench.sync(["accounts"], max_pages=1, rounds=1, full_refresh=frozenset(again))
    company.box.clock.advance(60)
    company.bench.sync(["accounts"], deletes="ignore")
    company.box.clock.advance(60)
    company.sync()
    company.assert_equal()


def test_deletions_that_a_first_read_ignores_are_found_by_the_next_sync() -> None:
    """The state was lost, and a tombstone has expired while another one is listed."""
    company = Accounts(page_size=2)
    company.sync()
    company.box.delete(ACCOUNTS, company.division, company.keys[0])
    company.box.clock.advance(100 * 86_400)
    company.box.delete(ACCOUNTS, company.division, company.keys[1])
    company.bench.ledger.cursors.clear()
    company.bench.sync(["accounts"], deletes="ignore")
    company.box.clock.advance(60)
    company.sync()
    company.assert_equal()


def test_a_first_read_that_ignores_deletions_leaves_none_to_find() -> None:
    """No row was stored before it."""
    company = Accounts(page_size=100)
    company.bench.sync(["accounts"], deletes="ignore")
    company.box.clock.advance(60)
    (result,) = company.bench.sync(["accounts"])

    assert (result.status, result.rows, result.notes) == ("complete", 0, ())
    company.assert_equal()


def test_a_change_during_a_long_read_is_found_where_the_clock_is_behind_utc() -> None:
    """The clock of the site is six hours behind UTC, and the read takes nine."""
    path = "financialtransaction/TransactionLines"
    box = small_box({"transaction_lines": path}, companies=1, large_page_size=2)
    (division,), bench = box.divisions, Bench(box)
    keys = sorted(row["ID"] for row in box.rows(path, division))

    def write(*changed: str) -> None:
        at = datetime.fromtimestamp(box.clock.now() - 6 * HOUR_S, UTC)
        box.touch(path, division, changed, modified=at.replace(tzinfo=None, microsecond=0))

    def during() -> None:
        if changes and any("TransactionLines" in r.path for r in box.requests):
            changes.clear()
            write(keys[0])
            box.clock.advance(9 * HOUR_S)
            write(keys[-1])

    write(*keys)
    changes = ["once"]
    box.clock.advance(60)
    for _ in range(2):
        bench.sync(["transaction_lines"], during=during, zone_slack_s=6 * HOUR_S)
        box.clock.advance(60)
    assert not changes
    bench.assert_equal("transaction_lines", "auto", [division])


def test_a_lost_table_that_a_failed_load_began_again_is_read_again() -> None:
    box = small_box({"accounts": "crm/Accounts"}, companies=1, page_size=2, large_page_size=2)
    (division,), bench = box.divisions, Bench(box)

    def sync(**options: Any) -> None:
        bench.sync(["accounts"], **options)
        box.clock.advance(60)

    sync()
    bench.drop("accounts")
    sync(max_pages=1, rounds=1, loads=iter(["in part"]))
    assert 0 < len(bench.keys("accounts", division)) < len(box.rows("crm/Accounts", division))
    sync()

    bench.assert_equal("accounts", "auto", [division])
