"""The same promises on DuckDB, Postgres and BigQuery: one story, told once for each of them.

A load takes seconds on BigQuery, so what happens to the companies happens in few loads, and each
test looks at what one of them left behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source.sync.outcome import Outcome
from tests.support.destinations import FROM, KINDS, TO, states, world_in
from tests.support.world import Calls, Row, World, assert_same_rows, digits, expected_rows

pytestmark = pytest.mark.timeout(600)
ACCOUNTS, LINES, INVOICE_LINES = "accounts", "transaction_lines", "sales_invoice_lines"
ENTITIES = (ACCOUNTS, LINES, INVOICE_LINES)  # by sync with tombstones, by bulk, without a cursor
STATES = "accounts_history"
PATHS = {
    ACCOUNTS: "sync/CRM/Accounts",
    LINES: "bulk/Financial/TransactionLines",
    INVOICE_LINES: "bulk/SalesInvoice/SalesInvoiceLines",
}
AMOUNTS = {
    "0.01": 0.01, "-0.005": -0.005, "123456789012.34": 123456789012.34, "0.1": 0.1, "0": 0.0,
}  # fmt: skip
DATES = ("1900-01-01", "2026-03-29 02:30:00", "2025-12-31 23:59:59.997", "2026-01-01", "9999-12-31")
TEXT = 'D\'Hondt "&" Zoon; 100 % — ß\n\\nieuw\t€'


@dataclass(frozen=True)
class Step:
    """What one sync left behind, and what it should have."""

    outcome: Outcome
    calls: Calls
    tables: dict[str, list[Row]]
    companies: dict[str, list[Row]]

    def assert_equal(self, *entities: str) -> None:
        """The rows that are not marked as deleted are those of the companies."""
        assert self.outcome.exit_code == 0, self.outcome
        for entity in entities or ENTITIES:
            rows = [row for row in self.tables[entity] if row["_deleted_at"] is None]
            assert_same_rows(entity, rows, self.companies[entity])

    def marked(self, entity: str) -> list[Row]:
        return [row for row in self.tables[entity] if row["_deleted_at"] is not None]

    def row(self, entity: str, key: str) -> Row | None:
        return next((row for row in self.tables[entity] if row["id"] == key), None)

    def counts(self, what: str) -> dict[tuple[str, int], int]:
        return {(r.entity, r.division): getattr(r, what) for r in self.outcome.results}


@dataclass
class Story:
    """A company's life in one database."""

    kind: str
    world: World
    steps: dict[str, Step] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)
    clusters: dict[str, list[str]] = field(default_factory=dict)

    def tell(self) -> None:
        """Everything, in its order."""
        self.prepare()
        self.sync("first")
        if "bigquery" in self.kind:
            self.look_at_clusters()
        self.change()
        self.sync("changed")
        self.world.box.drop_property(PATHS[ACCOUNTS], "Email")
        self.sync("widened", utc_instants=True)
        with self.read_only(ACCOUNTS), pytest.raises(PipelineStepFailed):
            self.change_and_sync()
        self.world.pipeline = self.world.new_pipeline("another machine")
        self.sync("restarted")
        self.spoil()
        self.delete("soft", ACCOUNTS)
        self.delete("soft invoice", INVOICE_LINES, self.world.other)
        self.sync("refreshed", full_refresh=True, deletes="soft")
        self.world.box.insert(
            PATHS[ACCOUNTS], self.world.division, {"ID": self.keys["soft"], "Name": "back"}
        )
        self.sync("back", deletes="soft")

    def look_at_clusters(self) -> None:
        """What BigQuery itself says of the tables."""
        with self.world.pipeline.sql_client() as client:
            google: Any = client.native_connection
            for name in (*ENTITIES, STATES):
                table = google.get_table(f"{client.dataset_name}.{name}")
                self.clusters[name] = table.clustering_fields

    def prepare(self) -> None:
        """Values that are easily spoilt on their way."""
        for key, amount, date in zip(self.ids(LINES), AMOUNTS.values(), DATES, strict=False):
            self.update(LINES, key, {"AmountDC": amount, "Date": digits(date)})
        self.keys["text"] = self.ids(ACCOUNTS)[4]
        self.update(ACCOUNTS, self.keys["text"], {"Name": TEXT, "Email": "first@example.com"})

    def change(self) -> None:
        """A bit of everything, and one company loses its last invoice line."""
        world = self.world
        self.keys["renamed"], self.keys["kept"] = self.ids(ACCOUNTS)[:2]
        self.update(ACCOUNTS, self.keys["renamed"], {"Name": "Renamed"})
        self.keys["new"] = "00000000-0000-4000-8000-00000000abcd"
        world.box.insert(PATHS[ACCOUNTS], world.division, {"ID": self.keys["new"], "Name": "New"})
        self.delete("gone", ACCOUNTS)
        self.delete("gone line", LINES)
        for key in self.ids(INVOICE_LINES):
            world.box.delete(PATHS[INVOICE_LINES], world.division, key)

    def change_and_sync(self) -> None:
        self.update(ACCOUNTS, self.keys["renamed"], {"Name": "Renamed again"})
        self.delete("gone unseen", ACCOUNTS)
        self.world.sync(*ENTITIES, history=ACCOUNTS)

    def spoil(self) -> None:
        """Damage that no feed tells of."""
        line, other = self.ids(LINES)[:2]
        with self.world.pipeline.sql_client() as client:
            table = client.make_qualified_table_name(LINES)
            client.execute_sql(f"UPDATE {table} SET notes = 'spoilt' WHERE id = %s", line)
            client.execute_sql(f"DELETE FROM {table} WHERE id = %s", other)

    @contextmanager
    def read_only(self, name: str) -> Iterator[None]:
        """While a table is a view, with the same columns, no load of it can end."""
        with self.world.pipeline.sql_client() as client:
            table, copy = map(client.make_qualified_table_name, (name, "away"))
            client.execute_sql(f"CREATE TABLE {copy} AS SELECT * FROM {table}")
            client.execute_sql(f"DROP TABLE {table}")
            client.execute_sql(f"CREATE VIEW {table} AS SELECT DISTINCT * FROM {copy}")
        yield
        with self.world.pipeline.sql_client() as client:
            client.execute_sql(f"DROP VIEW {table}")
            client.execute_sql(f"CREATE TABLE {table} AS SELECT * FROM {copy}")

    def sync(self, name: str, **options: Any) -> None:
        world = self.world
        with world.watch() as calls:
            outcome = world.sync(*ENTITIES, history=ACCOUNTS, **options)
        wanted = {
            e: [row for d in world.box.divisions for row in expected_rows(world.box, e, d)]
            for e in ENTITIES
        }
        tables = {e: world.table(e) for e in ENTITIES} | {STATES: states(world, ACCOUNTS)}
        self.steps[name] = Step(outcome, calls, tables, wanted)
        trace = world.pipeline.last_trace
        packages = trace.last_load_info.load_packages if trace and trace.last_load_info else []
        self.jobs += [Path(j.file_path).name for p in packages for j in p.jobs["completed_jobs"]]

    def ids(self, entity: str, division: int | None = None) -> list[str]:
        return self.world.keys(PATHS[entity], division)

    def update(self, entity: str, key: str, values: Row) -> None:
        self.world.box.update(PATHS[entity], self.world.division, key, values)

    def delete(self, name: str, entity: str, division: int | None = None) -> None:
        self.keys[name] = self.ids(entity, division)[-1]
        self.world.box.delete(PATHS[entity], division or self.world.division, self.keys[name])


@pytest.fixture(scope="module", params=KINDS)
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    with world_in(request.param, tmp_path_factory.mktemp("story")) as world:
        story = Story(request.param, world)
        story.tell()
        yield story


def test_a_first_load_holds_every_row_and_value(story: Story) -> None:
    story.steps["first"].assert_equal()


def test_amounts_are_exact_to_the_digit(story: Story) -> None:
    amounts = {row["amount_dc"] for row in story.steps["first"].tables[LINES]}
    assert {Decimal(text) for text in AMOUNTS} <= amounts
    assert all(isinstance(amount, Decimal) for amount in amounts)


def test_dates_are_exact_to_the_digit(story: Story) -> None:
    dates = {row["date"] for row in story.steps["first"].tables[LINES]}
    assert {datetime.fromisoformat(text) for text in DATES} <= dates


def test_texts_arrive_as_they_are(story: Story) -> None:
    row = story.steps["first"].row(ACCOUNTS, story.keys["text"])
    assert row is not None
    assert row["name"] == TEXT


def test_rows_travel_as_parquet(story: Story) -> None:
    mine = [name for name in story.jobs if name.split(".")[0] in {*ENTITIES, "_exact_syncs"}]
    endings = {name.rpartition(".")[2] for name in mine}
    assert endings == {"parquet", "sql"}, endings  # the merge itself is SQL
    assert not [name for name in mine if "insert_values" in name]


def test_a_second_load_merges_what_changed_and_reads_little_else(story: Story) -> None:
    step = story.steps["changed"]
    step.assert_equal()
    renamed, new = (step.row(ACCOUNTS, story.keys[name]) for name in ("renamed", "new"))
    assert renamed is not None
    assert renamed["name"] == "Renamed"
    assert new is not None
    assert step.counts("rows")[ACCOUNTS, story.world.division] == 2
    assert step.counts("rows")[ACCOUNTS, story.world.other] == 0


def test_deleted_rows_are_gone(story: Story) -> None:
    step = story.steps["changed"]
    assert step.row(ACCOUNTS, story.keys["gone"]) is None
    assert step.row(LINES, story.keys["gone line"]) is None
    assert step.marked(ACCOUNTS) == step.marked(LINES) == []
    assert len(step.tables[ACCOUNTS]) == len(step.companies[ACCOUNTS])


def test_a_company_whose_last_row_went_ends_with_none(story: Story) -> None:
    before, after = (story.steps[name].tables[INVOICE_LINES] for name in ("first", "changed"))
    assert {row["division"] for row in before} == set(story.world.box.divisions)
    assert after == [row for row in before if row["division"] == story.world.other] != []


def test_a_new_column_is_filled_in_all_rows(story: Story) -> None:
    before, step = story.steps["changed"], story.steps["widened"]
    step.assert_equal(LINES, INVOICE_LINES)
    assert "modified_utc" not in before.tables[ACCOUNTS][0]
    for row in step.tables[ACCOUNTS]:
        assert row["modified_utc"].utcoffset().total_seconds() == 0
    told = next(r for r in step.outcome.results if r.entity == ACCOUNTS)
    assert "new columns: created_utc, modified_utc: read again" in told.notes


def test_a_withdrawn_column_keeps_what_was_loaded(story: Story) -> None:
    before, step = story.steps["changed"], story.steps["widened"]
    told = next(r for r in step.outcome.results if r.entity == ACCOUNTS)
    assert "left out, as Exact no longer has it: Email" in told.notes
    mails = [{row["id"]: row["email"] for row in s.tables[ACCOUNTS]} for s in (before, step)]
    assert mails[0] == mails[1]
    assert mails[1][story.keys["text"]] == "first@example.com"


def test_what_a_failed_load_took_along_is_read_again_on_another_machine(story: Story) -> None:
    step = story.steps["restarted"]
    step.assert_equal()
    assert step.row(ACCOUNTS, story.keys["gone unseen"]) is None


def test_a_full_refresh_repairs_what_no_feed_tells_of(story: Story) -> None:
    step = story.steps["refreshed"]
    step.assert_equal()
    assert step.marked(LINES) == []


def test_soft_deletes_mark_the_row_and_keep_it(story: Story) -> None:
    step, before = story.steps["refreshed"], story.steps["restarted"]
    for entity, name in ((ACCOUNTS, "soft"), (INVOICE_LINES, "soft invoice")):
        (marked,) = step.marked(entity)
        assert marked["id"] == story.keys[name]
        was = before.row(entity, story.keys[name])
        assert was is not None
        hidden = {"_deleted_at", "_synced_at"}
        assert {k: v for k, v in marked.items() if k not in hidden} == {
            k: v for k, v in was.items() if k not in hidden
        }


def test_a_soft_deleted_row_that_comes_back_is_unmarked(story: Story) -> None:
    step = story.steps["back"]
    step.assert_equal()
    assert step.marked(ACCOUNTS) == []
    assert [row["id"] for row in step.marked(INVOICE_LINES)] == [story.keys["soft invoice"]]


def test_the_states_that_hold_now_are_the_rows(story: Story) -> None:
    """At every step: one state a row, with its values, and one that says gone of what is gone."""
    hidden = {
        "_synced_at",
        "_key",
        "_version",
        FROM,
        TO,
        "timestamp",
        "created_utc",
        "modified_utc",
    }
    for name, step in story.steps.items():
        now = [row for row in step.tables[STATES] if row[TO] is None]
        assert len({row["_key"] for row in now}) == len(now), name
        held, stored = (
            {row["id"]: {k: v for k, v in row.items() if k not in hidden} for row in rows}
            for rows in (
                [row for row in now if row["_deleted_at"] is None],
                [row for row in step.tables[ACCOUNTS] if row["_deleted_at"] is None],
            )
        )
        assert held == stored, name


def test_each_change_is_a_state_with_its_time(story: Story) -> None:
    """What a failed load took along is one state, though it was loaded twice."""
    history = story.steps["back"].tables[STATES]

    def of(name: str, column: str) -> list[Any]:
        mine = [row for row in history if row["id"] == story.keys[name]]
        assert [row[TO] for row in mine] == [*(row[FROM] for row in mine[1:]), None]
        return [row[column] for row in mine]

    assert of("renamed", "name")[1:] == ["Renamed", "Renamed again"]
    assert len(of("kept", "name")) == len(of("new", "name")) == 1
    for name in ("gone", "gone unseen"):
        assert [at is not None for at in of(name, "_deleted_at")] == [False, True]
    assert [at is not None for at in of("soft", "_deleted_at")] == [False, True, False]


def test_the_table_of_states_is_clustered_as_its_entity_is(story: Story) -> None:
    if "bigquery" not in story.kind:
        pytest.skip("only BigQuery clusters")
    assert story.clusters == {name: ["division", "id"] for name in (*ENTITIES, STATES)}
