"""The assets, checks, component and schedule of ``exact_source.dagster``, run by Dagster in this process.

tests/nightly/test_dagster.py runs the files of docs/dagster.md as a user would, in an environment of
Dagster's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import dlt
import duckdb
import pytest

from exact_source.dagster import Books, ExactOnlineComponent, key_of
from tests.support.world import World, export_settings

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Dagster itself

ENTITIES = ("accounts", "deleted", "divisions", "journals")
TICK = datetime(2026, 3, 10, 12, 15, tzinfo=UTC)


@dataclass
class Made:
    """The result of a run."""

    success: bool
    partitions: set[str | None]
    retries: int
    assets: dict[str, dict[str, Any]]
    error: str


@dataclass
class Dagster:
    """An instance of Dagster, and the definitions of a world's books."""

    world: World
    instance: dg.DagsterInstance
    database: Path

    def definitions(self, **options: Any) -> dg.Definitions:
        return Books(
            destination=dlt.destinations.duckdb(str(self.database)),
            entities=ENTITIES,
            retry_after=timedelta(0),
            **options,
        ).definitions()

    def tick(self) -> list[str | None] | str:
        """The partitions whose runs the daemon would start, or its reason to start none."""
        defs = self.definitions()
        schedule = defs.resolve_schedule_def("exact_online_schedule")
        # A context left open ends when it is collected, perhaps in a later test, which then gets the
        # storage of this one.
        with dg.build_schedule_context(
            instance=self.instance,
            repository_def=defs.get_repository_def(),
            scheduled_execution_time=TICK,
        ) as context:
            data = schedule.evaluate_tick(context)
        return data.skip_message or [request.partition_key for request in data.run_requests or ()]

    def run(self, partition: str, *entities: str) -> Made:
        """Sync one division."""
        done = (
            self.definitions()
            .resolve_job_def("exact_online_sync")
            .execute_in_process(
                partition_key=partition,
                instance=self.instance,
                raise_on_error=False,
                asset_selection=[key_of(name) for name in entities] or None,
            )
        )
        made = [event.materialization for event in done.get_asset_materialization_events()]
        failures: list[Any] = [e.event_specific_data for e in done.all_events if e.is_step_failure]
        return Made(
            success=done.success,
            partitions={one.partition for one in made},
            retries=sum(e.event_type_value == "STEP_UP_FOR_RETRY" for e in done.all_events),
            assets={
                one.asset_key.path[-1]: {name: value.value for name, value in one.metadata.items()}
                for one in made
            },
            error="".join(failure.error.to_string() for failure in failures),
        )

    def checks(self, **options: Any) -> dict[str, dict[str, Any]]:
        """The result and facts of each check."""
        job = self.definitions(**options).resolve_job_def("exact_online_checks")
        done = job.execute_in_process(instance=self.instance, raise_on_error=False)
        return {
            f"{e.asset_key.path[-1]}.{e.check_name}": {
                "passed": e.passed,
                **{name: value.value for name, value in e.metadata.items()},
            }
            for e in done.get_asset_check_evaluations()
        }

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.database)) as database:
            return database.execute(statement).fetchall()


# By default Dagster starts two processes for each step, which store its output.
NO_OUTPUT_KEPT = {
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    }
}


@pytest.fixture
def dagster(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dagster]:
    export_settings(world, monkeypatch)
    monkeypatch.chdir(tmp_path / "project")
    world.box.state.limits.minute_limit = 1000
    world.box.clock.set(time.time())  # Dagster runs by the computer's own clock
    world.box.clock.run()
    world.login()
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=NO_OUTPUT_KEPT) as instance:
        yield Dagster(world, instance, tmp_path / "exact.duckdb")


def test_a_tick_its_runs_and_the_checks(dagster: Dagster) -> None:
    world, (first, second) = dagster.world, map(str, dagster.world.box.divisions)
    assert dagster.tick() == [first, second]
    runs = [dagster.run(partition) for partition in (first, second)]
    good = dagster.checks()
    world.box.update("crm/Accounts", int(first), world.keys("crm/Accounts")[0], {"Name": "New"})
    again = dagster.run(first, "accounts")
    tags = {"dagster/partition": first}
    dagster.instance.add_run(
        dg.DagsterRun(job_name="exact_online_sync", status=dg.DagsterRunStatus.STARTED, tags=tags)
    )
    assert dagster.tick() == [second]
    stale = dagster.checks(stale_after=timedelta(0))

    counts = dict(dagster.sql("SELECT division, count(*) FROM exact_online.accounts GROUP BY 1"))
    assert counts == {d: len(world.box.rows("crm/Accounts", d)) for d in world.box.divisions}
    world.pipeline = world.new_pipeline(destination=dlt.destinations.duckdb(str(dagster.database)))
    world.assert_equal("accounts")
    assert [(run.success, run.partitions) for run in runs] == [(True, {first}), (True, {second})]
    assert all(run.assets.keys() == set(ENTITIES) for run in runs)
    accounts = [run.assets["accounts"] for run in runs]
    assert [(a["rows"], a["feed"]) for a in accounts] == [(n, "sync") for n in counts.values()]
    assert again.assets.keys() == {"accounts"}
    assert again.assets["accounts"]["rows"] == 1
    assert int(again.assets["accounts"]["cursor"]) > int(accounts[0]["cursor"])
    assert good.keys() == {f"{e}.{check}" for e in ENTITIES for check in ("fresh", "counted")}
    assert all(check["passed"] for check in good.values())
    assert good["accounts.counted"]["rows"] == sum(counts.values())
    assert not stale["accounts.fresh"]["passed"]
    assert stale["accounts.fresh"]["stale_divisions"] == f"{first}, {second}"


def test_the_checks_know_which_divisions_are_open(dagster: Dagster) -> None:
    world, (first, second) = dagster.world, map(str, dagster.world.box.divisions)
    before = dagster.checks()
    world.box.block_division(int(second))
    assert dagster.tick() == [first]
    dagster.run(first)
    good = dagster.checks()
    world.box.block_division(int(second), 0)
    dagster.tick()
    new = dagster.checks()

    assert not any(before[f"{e}.fresh"]["passed"] for e in ENTITIES)  # there is no table yet
    assert all(before[f"{e}.counted"]["passed"] for e in ENTITIES)
    assert (good["accounts.fresh"]["passed"], good["accounts.fresh"]["divisions"]) == (True, 1)
    assert (new["accounts.fresh"]["passed"], new["divisions.fresh"]["passed"]) == (False, True)
    assert new["accounts.fresh"]["stale_divisions"] == second  # not yet synced


def test_a_refused_entity_is_left_out_and_stale_once_it_was_read(
    dagster: Dagster, caplog: pytest.LogCaptureFixture
) -> None:
    world, first = dagster.world, str(dagster.world.division)
    world.box.block_division(world.other)
    dagster.tick()
    world.box.deny(int(first), "financial/Journals", "403")
    refused = dagster.run(first)
    in_licence = dagster.checks()
    dagster.sql(
        "INSERT INTO exact_online._exact_syncs SELECT * REPLACE ('complete' AS status, "
        "ended_at - INTERVAL 1 HOUR AS ended_at) FROM exact_online._exact_syncs "
        "WHERE entity = 'journals'"
    )
    taken_away = dagster.checks(stale_after=timedelta(0))

    assert refused.success
    assert refused.assets.keys() == set(ENTITIES) - {"journals"}
    assert in_licence["journals.fresh"]["passed"]
    assert in_licence["journals.fresh"]["refused_divisions"] == first
    assert taken_away["journals.fresh"]["stale_divisions"] == first


def test_a_repeated_row_fails_the_check(dagster: Dagster) -> None:
    (first, *_) = map(str, dagster.world.box.divisions)
    dagster.tick()
    dagster.run(first, "accounts")
    dagster.sql("INSERT INTO exact_online.accounts SELECT * FROM exact_online.accounts LIMIT 1")

    check = dagster.checks()["accounts.counted"]

    assert (check["passed"], check["duplicates"]) == (False, 1)


def test_a_run_is_retried_where_time_helps_and_fails_where_a_person_is_needed(
    dagster: Dagster,
) -> None:
    world, first = dagster.world, str(dagster.world.division)
    dagster.tick()
    tokens = world.folder / "tokens.json"
    tokens.unlink()
    tokens.mkdir()  # cannot be read
    retried = dagster.run(first)
    tokens.rmdir()
    failed = dagster.run(first)

    assert (retried.success, retried.retries) == (False, 3)
    assert (failed.success, failed.retries) == (False, 0)
    assert "exact-source login" in failed.error
    assert world.box.client_secret not in retried.error + failed.error


def test_a_tick_without_calls_for_today_starts_nothing(dagster: Dagster) -> None:
    world = dagster.world
    world.box.state.limits.daily_limit = 0

    found = dagster.tick()

    assert isinstance(found, str)
    assert str(world.division) in found


def test_a_component_takes_durations_as_dagster_writes_them(tmp_path: Path) -> None:
    def made(text: str) -> list[Any]:
        found = ExactOnlineComponent.resolve_from_yaml(
            f"destination: duckdb:{tmp_path / 'exact.duckdb'}\n{text}"
        )
        return [found.stale_after, found.retry_after, found.pool]

    hours, minutes = timedelta(hours=12), timedelta(minutes=5)
    assert made('stale_after: PT12H\nretry_after: "00:01:00"\npool: books') == [
        hours,
        timedelta(minutes=1),
        "books",
    ]
    stale = 'stale_after: "{{ datetime.timedelta(hours=12) }}"'
    assert made(stale) == [hours, minutes, "exact_online"]
    assert made("cron: 15 * * * *") == [timedelta(hours=26), minutes, "exact_online"]


def test_a_component_makes_the_assets_of_its_entities(dagster: Dagster) -> None:
    component = ExactOnlineComponent.resolve_from_yaml(
        f"destination: duckdb:{dagster.database}\nentities: [accounts, journals]"
    )
    tree = dg.ComponentTree.for_test()
    specs = component.build_defs(tree.load_context).resolve_all_asset_specs()
    columns = {
        column.name: column.type
        for spec in specs
        if spec.key == key_of("accounts")
        for column in spec.metadata["dagster/column_schema"].columns
    }

    assert {spec.key for spec in specs} == {key_of("accounts"), key_of("journals")}
    assert {"id": "text", "division": "bigint", "modified": "timestamp"}.items() <= columns.items()
