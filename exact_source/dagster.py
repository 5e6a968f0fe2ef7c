"""Dagster: an asset for each entity, a partition for each division, checks, jobs and schedules.

Each tick of the schedule lists the open divisions and starts a run for each. A run makes the same rounds as
``exact-source sync``, so a killed run loses one round. An incomplete entity does not affect others: its
asset is not materialised, and the run's log states the reason. See docs/dagster.md.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import dagster as dg
import dlt
from dagster_dlt import DagsterDltTranslator, build_dlt_asset_specs
from dlt.common.schema import Schema
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from pydantic import Field

from .catalogue import load_catalogue
from .catalogue.feeds import plan_feeds
from .destinations import make_destination, split_destination
from .engine.functions import shape_of
from .errors import LimitError
from .loading.sync_columns import SYNCS_TABLE
from .loading.tables import declare_table
from .orchestration import advise, open_divisions, sync_divisions
from .source import exact_online

NAME = "exact_online"
SHORTEST_WINDOW = timedelta(minutes=1)  # the shortest that Dagster accepts
PARTITIONS = dg.DynamicPartitionsDefinition(name="exact_online_divisions")
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def key_of(entity: str) -> dg.AssetKey:
    """The asset key of an entity; dagster-dbt gives tables of the source ``exact_online`` the same key."""
    return dg.AssetKey([NAME, entity])


def tables_of(entities: Sequence[str], deletes: str) -> Mapping[str, Any]:
    """The tables that a sync creates, as dlt table schemas with columns and descriptions."""
    made, catalogue = Schema(NAME), load_catalogue()
    for name in entities:
        entity = catalogue.entities[name]
        declare_table(made, shape_of(entity, plan_feeds(entity)), deletes, entities)
    return made.tables


class Translator(DagsterDltTranslator):
    """Gives assets the names, columns and descriptions of the tables, and makes them skippable."""

    def __init__(self, books: "Books") -> None:
        self.books = books
        self.tables = tables_of(books.entities, books.options.get("deletes", "hard"))

    def get_asset_spec(self, data: Any) -> dg.AssetSpec:
        """The asset spec of a dlt resource."""
        spec, table = super().get_asset_spec(data), self.tables.get(data.resource.name, {})
        columns = [
            dg.TableColumn(name, str(hints.get("data_type")), hints.get("description"))
            for name, hints in table.get("columns", {}).items()
        ]
        metadata = {
            "dagster/column_schema": dg.TableSchema(columns),
            "dagster/table_name": f"{self.books.dataset}.{data.resource.name}",
        }
        return spec.replace_attributes(
            key=key_of(data.resource.name),
            deps=[],
            description=table.get("description"),
            metadata={**spec.metadata, **metadata},
            freshness_policy=dg.FreshnessPolicy.time_window(
                fail_window=max(self.books.stale_after, SHORTEST_WINDOW)
            ),
            automation_condition=self.books.automation_condition,
            skippable=True,
        )


@dataclass(frozen=True, kw_only=True)
class Books:
    """The entities to keep up to date, their destination and schedule.

    Attributes:
        destination: dlt destination.
        dataset: Schema of the tables.
        entities: Entity names; by default the core set.
        cron: Schedule of the syncs.
        stale_after: Age at which an asset is stale and the check ``fresh`` fails. The check considers
            each division separately.
        retry_after: Delay before a retry after a temporary error; there are at most three.
        pool: Dagster pool whose limit is the number of divisions read at once.
        automation_condition: Condition of the assets, in addition to the schedule.
        options: Further arguments of ``exact_online``: ``route``, ``deletes``, ``start_date``.
    """

    destination: Any
    dataset: str = NAME
    entities: Sequence[str] = load_catalogue().core
    cron: str = "15 * * * *"
    stale_after: timedelta = timedelta(hours=26)
    retry_after: timedelta = timedelta(minutes=5)
    pool: str = NAME
    automation_condition: dg.AutomationCondition[Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def pipeline(self, name: str) -> dlt.Pipeline:
        """The pipeline of one division; each has its own state and working folder."""
        return dlt.pipeline(name, destination=self.destination, dataset_name=self.dataset)

    def definitions(self) -> dg.Definitions:
        """Assets, checks, jobs and schedules."""
        assets, checks = make_assets(self), make_checks(self)
        chosen = dg.AssetSelection.assets(assets).without_checks()
        sync = dg.define_asset_job(f"{NAME}_sync", chosen, partitions_def=PARTITIONS)
        check = dg.define_asset_job(f"{NAME}_checks", dg.AssetSelection.checks(checks))
        daily = dg.ScheduleDefinition(
            name=f"{NAME}_checks_schedule", job=check, cron_schedule="0 7 * * *"
        )
        return dg.Definitions(
            assets=[assets],
            asset_checks=[checks],
            jobs=[sync, check],
            schedules=[make_schedule(sync, self.cron), daily],
        )


def make_assets(books: Books) -> dg.AssetsDefinition:
    """An asset for each entity; a run syncs the selected ones for one division."""
    # Used only for names and columns; each run reads the settings and adds the sync log.
    names: list[Any] = list(books.entities)
    source = exact_online(entities=names, client_id="-", client_secret="-")  # noqa: S106
    found = build_dlt_asset_specs(source, books.pipeline(NAME), Translator(books))
    keys = {key_of(name) for name in names}

    @dg.multi_asset(
        specs=[spec for spec in found if spec.key in keys],
        name=NAME,
        group_name=NAME,
        can_subset=True,
        partitions_def=PARTITIONS,
        backfill_policy=dg.BackfillPolicy.multi_run(1),
        pool=books.pool,
    )
    def assets(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        division = int(context.partition_key)
        wanted = [key.path[-1] for key in context.selected_asset_keys]
        pipeline = books.pipeline(f"{NAME}_{division}")
        outcome = sync_divisions(pipeline, [division], wanted, **books.options)
        for result in outcome.results:
            if result.status == "complete":
                yield dg.MaterializeResult(asset_key=key_of(result.entity), metadata=facts(result))
        advice = advise(outcome, time.time())
        if advice.reason:
            context.log.warning(advice.reason)
        if advice.action == "retry":
            seconds = books.retry_after.total_seconds()
            raise dg.RetryRequested(max_retries=3, seconds_to_wait=seconds)
        if advice.action == "fail":
            raise dg.Failure(advice.reason, allow_retries=False)

    return assets


def make_checks(books: Books) -> dg.AssetChecksDefinition:
    """The checks ``fresh`` and ``counted`` of each entity, over all divisions."""

    @dg.multi_asset_check(
        name=f"{NAME}_tables",
        specs=[
            dg.AssetCheckSpec(check, asset=key_of(entity))
            for entity in books.entities
            for check in ("fresh", "counted")
        ],
        can_subset=True,
        pool=books.pool,
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        open_ones = [int(k) for k in context.instance.get_dynamic_partitions(str(PARTITIONS.name))]
        with books.pipeline(NAME).sql_client() as client:
            seen = last_syncs(client)
            for key in context.selected_asset_check_keys:
                entity = key.asset_key.path[-1]
                if key.name == "fresh":
                    # An entity that all divisions share is read once, as division 0.
                    is_list = bool(load_catalogue().entities[entity].division_from)
                    divisions = [0] if is_list else open_ones
                    yield fresh(key, seen.get(entity, {}), divisions, books.stale_after)
                else:
                    yield counted(key, client, entity)

    return checks


def make_schedule(job: Any, cron: str) -> dg.ScheduleDefinition:
    """List the open divisions and start a run for each one that has no run in progress."""

    @dg.schedule(name=f"{NAME}_schedule", job=job, cron_schedule=cron)
    def schedule(
        context: dg.ScheduleEvaluationContext,
    ) -> list[dg.RunRequest] | dg.SkipReason:
        try:
            divisions = [str(code) for code in open_divisions()]
        except LimitError as error:  # no calls are left today, or other workers hold all divisions
            return dg.SkipReason(str(error))
        name = str(PARTITIONS.name)
        for closed in set(context.instance.get_dynamic_partitions(name)).difference(divisions):
            context.instance.delete_dynamic_partition(name, closed)
        context.instance.add_dynamic_partitions(name, divisions)
        busy = context.instance.get_runs(dg.RunsFilter(job_name=job.name, statuses=UNFINISHED))
        under_way = {run.tags.get("dagster/partition") for run in busy}
        tick = context.scheduled_execution_time.isoformat()
        return [
            dg.RunRequest(run_key=f"{code} {tick}", partition_key=code)
            for code in divisions
            if code not in under_way
        ]

    return schedule


def facts(result: Any) -> dict[str, Any]:
    """Metadata of a sync for the asset catalogue."""
    return {
        "calls": result.calls,
        "rows": result.rows,
        "deleted": result.deleted,
        "cursor": result.cursor,
        "feed": result.feed,
        "seconds": round(result.ended_at - result.started_at, 3),
    }


@dataclass(frozen=True)
class LastSync:
    """The last sync of an entity in a division.

    Attributes:
        complete: Time of the last complete sync; ``None`` if there is none.
        is_refused: Whether Exact refused the last sync, because the company does not have the module.
    """

    complete: datetime | None
    is_refused: bool


def last_syncs(client: Any) -> dict[str, dict[int, LastSync]]:
    """The last sync by entity and division; empty before the first sync."""
    table = client.make_qualified_table_name(SYNCS_TABLE)
    found: dict[str, dict[int, LastSync]] = {}
    try:
        rows = client.execute_sql(
            "SELECT entity, division, MAX(CASE WHEN status = 'complete' THEN ended_at END), "
            "MAX(CASE WHEN status = 'refused' THEN ended_at END), MAX(ended_at) "
            f"FROM {table} GROUP BY entity, division"
        )
    except DatabaseUndefinedRelation:
        rows = []
    for entity, division, complete, refused, ended in rows:
        found.setdefault(entity, {})[division] = LastSync(complete, refused == ended)
    return found


def fresh(
    key: dg.AssetCheckKey,
    seen: Mapping[int, LastSync],
    divisions: Sequence[int],
    stale_after: timedelta,
) -> dg.AssetCheckResult:
    """Check that every open division has a recent complete sync.

    A division for which Exact has always refused the entity does not fail the check. One that was read
    before and is refused now does.
    """
    due = datetime.now(UTC) - stale_after
    synced = {d: seen.get(d, LastSync(None, is_refused=False)) for d in divisions or seen}
    refused = [d for d, last in synced.items() if last.is_refused and last.complete is None]
    times = {d: last.complete for d, last in synced.items() if d not in refused}
    stale = sorted(d for d, at in times.items() if at is None or at < due)
    return dg.AssetCheckResult(
        check_name=key.name,
        asset_key=key.asset_key,
        passed=bool(synced) and not stale,
        metadata={
            "divisions": len(synced),
            "stale_divisions": ", ".join(map(str, stale)),
            "refused_divisions": ", ".join(map(str, sorted(refused))),
            "oldest": min((at.isoformat() for at in times.values() if at), default="never"),
        },
    )


def counted(key: dg.AssetCheckKey, client: Any, entity: str) -> dg.AssetCheckResult:
    """Check that each key occurs once, and count the rows; a missing table has none."""
    found = load_catalogue().entities[entity]
    columns = ["division", *(found.columns[f].name for f in found.key if f != "Division")]
    names = ", ".join(client.escape_column_name(name) for name in columns)
    table = client.make_qualified_table_name(entity)
    try:
        ((rows, keys),) = client.execute_sql(
            "SELECT COALESCE(SUM(n), 0), COUNT(*) "
            f"FROM (SELECT COUNT(*) AS n FROM {table} GROUP BY {names}) AS k"
        )
    except DatabaseUndefinedRelation:
        rows, keys = 0, 0
    return dg.AssetCheckResult(
        check_name=key.name,
        asset_key=key.asset_key,
        passed=rows == keys,
        metadata={"rows": int(rows), "duplicates": int(rows - keys)},
    )


# In a ``defs.yaml`` an ISO duration such as ``PT12H``, or ``{{ datetime.timedelta(hours=12) }}``.
Duration = Annotated[timedelta, dg.Resolver.default(model_field_type=str, examples=["PT12H"])]


class ExactOnlineComponent(dg.Component, dg.Model, dg.Resolvable):
    """The definitions as a component, for a ``defs.yaml``.

    Attributes:
        destination: ``duckdb:PATH``, ``postgres``, ``bigquery`` or another name of a dlt destination,
            whose credentials dlt finds in its settings.
        dataset: Schema of the tables.
        entities: Entity names; by default the core set.
        cron: Schedule of the syncs.
        stale_after: Age at which an asset is stale and the check ``fresh`` fails, such as ``PT12H``.
        retry_after: Delay before a retry after a temporary error.
        pool: Dagster pool whose limit is the number of divisions read at once.
        options: Further arguments of ``exact_online``: ``route``, ``deletes``, ``start_date``.
    """

    destination: str
    dataset: str = NAME
    entities: list[str] | None = None
    cron: str = Books.cron
    stale_after: Duration = Books.stale_after
    retry_after: Duration = Books.retry_after
    pool: str = Books.pool
    options: dict[str, Any] = Field(default_factory=dict)

    def build_defs(self, _context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedules."""
        destination = make_destination(*split_destination(self.destination), "destination")
        books = Books(
            destination=destination,
            dataset=self.dataset,
            cron=self.cron,
            stale_after=self.stale_after,
            retry_after=self.retry_after,
            pool=self.pool,
            options=self.options,
            entities=self.entities or load_catalogue().core,
        )
        return books.definitions()
