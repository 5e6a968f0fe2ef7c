"""A load that stopped goes on where it was, whatever stopped it; nothing is lost, little read twice."""

from __future__ import annotations

import shutil
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from exact_source import EntityName, exact_online, run_to_end
from exact_source.engine.result import StreamResult
from exact_source.errors import ConfigurationError
from exact_source.loading.session import Session
from exact_source.source import run_source
from exact_source.sync.runner import sync
from tests.support.fixtures import MakeWorld
from tests.support.syncs import pages
from tests.support.tiers import variants
from tests.support.world import World, feed_path

FEEDS = ["accounts", "transaction_lines", "journals", "sales_invoice_lines"]
LINES = "bulk/Financial/TransactionLines"
COLUMN = {"accounts": "Name", "transaction_lines": "Notes", "sales_invoice_lines": "Notes"}


def test_each_run_of_a_users_own_pipeline_goes_on_where_the_last_one_stopped(world: World) -> None:
    done: set[tuple[str, int]] = set()
    with world.watch() as calls:
        for _ in range(60):
            results = world.one_round("transaction_lines", "sales_invoice_lines", max_pages=3)
            done |= {(r.entity, r.division) for r in results if r.status == "complete"}
            if len(done) == len(results):
                break
    assert len(done) == 4
    for entity in ("transaction_lines", "sales_invoice_lines"):
        world.assert_equal(entity)
    for division in world.box.divisions:
        assert max(pages(calls, LINES, division).values()) == 1


@pytest.mark.parametrize("where", variants(["between", "within"], "within"))
def test_an_error_between_or_within_rounds_loses_a_round_at_most(world: World, where: str) -> None:
    run = world.make_run(max_pages=2)
    seen: list[StreamResult] = []

    def within(result: StreamResult) -> None:
        seen.append(result)
        if where == "within" and len(seen) == 12:
            raise OSError

    def between(number: int) -> None:
        if where == "between" and number == 3:
            raise OSError

    run.log.on_progress = within
    with world.watch() as calls, pytest.raises((OSError, PipelineStepFailed)):
        sync(world.pipeline, run, ["transaction_lines"], on_round=between)
    world.pipeline = world.new_pipeline()
    with world.watch() as more:
        outcome = world.sync("transaction_lines", max_pages=2)

    assert outcome.exit_code == 0
    world.assert_equal("transaction_lines")
    for division in world.box.divisions:
        both = pages(calls, LINES, division) + pages(more, LINES, division)
        assert sum(n - 1 for n in both.values()) <= 2


def test_a_lost_working_folder_is_restored_from_the_destination(world: World) -> None:
    world.sync("accounts", "transaction_lines")
    shutil.rmtree(world.folder / "pipelines")
    world.pipeline = world.new_pipeline("elsewhere")
    key = world.keys(LINES)[0]
    world.box.update(LINES, world.division, key, {"Description": "later"})
    outcome = world.sync("accounts", "transaction_lines")

    assert outcome.exit_code == 0
    assert sum(r.rows for r in outcome.results) == 1
    world.assert_equal("transaction_lines")


def test_a_lost_working_folder_in_the_middle_of_a_backfill_goes_on(world: World) -> None:
    with world.watch() as calls:
        world.one_round("transaction_lines", max_pages=2)
        world.pipeline = world.new_pipeline("elsewhere")
        outcome = world.sync("transaction_lines")

    assert outcome.exit_code == 0
    world.assert_equal("transaction_lines")
    for division in world.box.divisions:
        assert max(pages(calls, LINES, division).values()) == 1


def test_a_lost_destination_is_filled_again(world: World) -> None:
    world.sync("accounts", "sales_invoice_lines")
    (world.folder / "exact.duckdb").unlink()
    world.pipeline = world.new_pipeline()
    outcome = world.sync("accounts", "sales_invoice_lines")

    assert outcome.exit_code == 0
    world.assert_equal("accounts")
    world.assert_equal("sales_invoice_lines")


@pytest.mark.parametrize(
    ("entity", "same_process"),
    [
        ("accounts", False),
        ("sales_invoice_lines", True),
        pytest.param("accounts", True, marks=pytest.mark.nightly),
        pytest.param("sales_invoice_lines", False, marks=pytest.mark.nightly),
    ],
)
def test_a_load_that_fails_is_read_again(world: World, entity: str, same_process: bool) -> None:
    path = feed_path(entity)
    world.sync(entity)
    key, gone, *_ = world.keys(path)
    world.box.update(path, world.division, key, {COLUMN[entity]: "later"})
    world.box.delete(path, world.division, gone)
    world.sql(f"ALTER TABLE exact_online.{entity} RENAME TO away")
    world.sql(f"CREATE TABLE exact_online.{entity} AS SELECT id FROM exact_online.away")
    with pytest.raises(PipelineStepFailed):
        world.sync(entity)
    world.sql(f"DROP TABLE exact_online.{entity}")
    world.sql(f"ALTER TABLE exact_online.away RENAME TO {entity}")
    if not same_process:
        world.pipeline = world.new_pipeline()
    outcome = world.sync(entity)

    assert outcome.exit_code == 0
    world.assert_equal(entity)


@pytest.mark.nightly
def test_two_failed_loads_in_a_row_lose_nothing(world: World) -> None:
    world.sync("accounts", max_pages=1)
    for name in ("one", "two"):
        world.box.update(
            "crm/Accounts", world.division, world.keys("crm/Accounts")[0], {"Name": name}
        )
        world.sql("ALTER TABLE exact_online.accounts RENAME TO away")
        world.sql("CREATE TABLE exact_online.accounts AS SELECT id FROM exact_online.away")
        with pytest.raises(PipelineStepFailed):
            world.sync("accounts")
        world.sql("DROP TABLE exact_online.accounts")
        world.sql("ALTER TABLE exact_online.away RENAME TO accounts")
    assert world.sync("accounts").exit_code == 0
    world.assert_equal("accounts")


def test_what_was_extracted_but_not_loaded_is_loaded_first(world: World) -> None:
    world.sync("accounts")
    key = world.keys("crm/Accounts")[0]
    world.box.update("crm/Accounts", world.division, key, {"Name": "one"})
    world.pipeline.extract(run_source(Session(world.make_run()), ["accounts"]))
    world.pipeline.normalize()
    world.pipeline = world.new_pipeline()
    world.box.update("crm/Accounts", world.division, key, {"Name": "two"})
    outcome = world.sync("accounts")

    assert outcome.exit_code == 0
    world.assert_equal("accounts")


# -- in code of one's own ----------------------------------------------------------------------------


def own_source(world: World, entities: list[EntityName], **options: Any) -> Any:
    return exact_online(
        entities=entities,
        base_url=world.base_url,
        client_id=world.box.client_id,
        client_secret=world.box.client_secret,
        redirect_uri=world.box.redirect_uri,
        token_storage=world.storage,
        clock=world.clock,
        **options,
    )


def test_own_code_goes_on_round_after_round_until_the_end(world: World) -> None:
    source = own_source(world, ["journals"], max_pages=2)
    source.resources["transaction_lines"].selected = True  # as users of dlt do it
    with world.watch() as calls:
        outcome = run_to_end(world.pipeline, source)

    assert outcome.exit_code == 0
    assert outcome.rounds >= 3
    for entity in ("journals", "transaction_lines"):
        world.assert_equal(entity)
        for division in world.box.divisions:
            assert max(pages(calls, feed_path(entity), division).values()) == 1
    loads = len({str(load) for (load,) in world.sql("SELECT load_id FROM exact_online._dlt_loads")})
    assert loads == outcome.rounds
    comments = "SELECT comment FROM duckdb_tables() WHERE table_name = 'transaction_lines'"
    assert world.sql(comments)[0][0]


def test_a_run_of_own_code_ends_by_itself_before_a_kill_costs_much(
    make_world: MakeWorld, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world(minute_limit=2, companies=1, large_page_size=1)
    with world.watch() as calls, caplog.at_level("WARNING", "exact_source.loading.entity_reader"):
        world.pipeline.run(own_source(world, ["transaction_lines"]))  # five minutes of calls

    first = len(calls.to(LINES))
    (outcome,) = world.outcomes()
    assert (outcome["status"], first > 3) == ("incomplete", True)
    assert caplog.messages == [
        "transaction_lines: not read to the end; run again, or see run_to_end"
    ]
    with world.watch() as more:
        assert run_to_end(world.pipeline, own_source(world, ["transaction_lines"])).exit_code == 0
    assert (
        max((pages(calls, LINES, world.division) + pages(more, LINES, world.division)).values())
        == 1
    )
    world.assert_equal("transaction_lines")


def test_a_source_of_another_is_not_run_to_the_end(world: World) -> None:
    with pytest.raises(ConfigurationError, match="exact_online"):
        run_to_end(
            world.pipeline, dlt.source(lambda: dlt.resource([1], name="numbers"), name="other")()
        )
