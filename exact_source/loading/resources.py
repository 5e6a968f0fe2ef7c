"""The dlt resources of the source: one for each entity, and one for the sync log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from inspect import Parameter, Signature
from typing import Any, cast

import dlt
import pyarrow as pa
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableFormat
from dlt.extract.resource import DltResource

from ..catalogue import Entity
from ..catalogue.feeds import plan_feeds, plan_window
from ..engine.functions import shape_of
from ..engine.run import Run
from ..odata.page import EXTRA
from .entity_reader import EntityReader
from .entity_resource import EntityResource
from .session import Session
from .state import LOG_RESOURCE, is_extracting
from .strategy import merge_strategies
from .sync_columns import SYNCS_TABLE
from .sync_log import log_entries, rejected_item, unknown_tombstones_item
from .tables import ALL_ROWS, DELETE_INSERT, append_only, declare_column, declare_table, log_only

# dlt asks six times for the signatures of each of some 340 resources, and Python works them out each time.
NO_ARGUMENTS = Signature()
ONE_ITEM = Signature([Parameter("item", Parameter.POSITIONAL_OR_KEYWORD)])


def make_resource(session: Session, entity: Entity, *, rank: int, selected: bool) -> DltResource:
    """The dlt resource of one entity over all divisions.

    Raises:
        ConfigurationError: If the entity does not have the feed of the route.
    """
    options = session.run.options
    shape = shape_of(
        entity,
        (plan_window if options.window else plan_feeds)(entity, options.route),
        utc_fields=options.utc_fields,
        raw_codes=options.raw_codes,
        guard=options.personal_data.guard(entity),
    )
    reader = EntityReader(session, shape, rank)

    def generator() -> AsyncIterator[pa.Table]:
        return reader.tables()

    generator.__signature__ = NO_ARGUMENTS  # type: ignore[attr-defined]
    resource: DltResource = dlt.resource(
        generator,
        name=entity.name,
        primary_key=["division", *shape.keys],
        write_disposition=DELETE_INSERT,
        file_format="parquet",  # the default of DuckDB and Postgres is INSERT statements
        selected=selected,
        table_format=cast("TTableFormat", options.table_format),  # None is dlt's default
        spec=BaseConfiguration,  # it has no arguments; dlt would make a class for each resource
        _impl_cls=EntityResource,
    )
    resource.add_map(Declaration(reader))
    return resource


def make_log_resource(session: Session) -> DltResource:
    """The dlt resource of ``_exact_syncs``, which also loads the other tables of the source itself."""

    def generator() -> Iterator[Any]:
        resources = list(dlt.current.source().resources.selected.values())
        unread = list(resources)
        while unread:  # only one is checked each time, because dlt polls a hundred times a second
            if _is_read(session, unread[-1]):
                unread.pop()
            else:
                yield None  # dlt continues here after the other resources
        for declaration in filter(None, map(declaration_of, resources)):
            declaration.append_if_new()
        yield from session.take_history()
        run, can = session.run, merge_strategies(dlt.current.pipeline())
        disposition: Any = DELETE_INSERT if "delete-insert" in can else "append"
        if unknown := run.tombstones.take_unknown():
            yield unknown_tombstones_item(unknown, disposition)
        if rejected := run.rejected.take():
            yield rejected_item(rejected, run.now(), disposition)
        _end_limited(run)
        names = {d.code: d.name for d in run.divisions.chosen_so_far}
        for results in session.take_results():
            yield log_entries(results, session.run_id, names)

    resource: DltResource = dlt.resource(
        generator,
        name=LOG_RESOURCE,
        table_name=SYNCS_TABLE,
        write_disposition="append",
        file_format="parquet",
        schema_contract=ALL_ROWS,
    )
    return resource


def _end_limited(run: Run) -> None:
    for result in run.log.results:
        if result.status == "running":
            result.end("incomplete", "ended by add_limit; the next run goes on")
            run.rounds.settle(result.entity, result.division)


def _is_read(session: Session, resource: DltResource) -> bool:
    """Whether a resource has been read, or was cut off by ``add_limit``."""
    declaration = declaration_of(resource)
    if declaration is None or declaration.reader.session is not session:
        return True
    is_cut_off = resource.limit is not None and resource.limit.exhausted
    return is_cut_off or session.has_ended(declaration.reader)


def declaration_of(resource: DltResource) -> Declaration | None:
    """This package's step in a resource; ``None`` if it is not an entity of this source."""
    for step in resource._pipe.steps:  # noqa: SLF001 (dlt copies resources; their steps stay the same)
        if isinstance(declaration := getattr(step, "_f", None), Declaration):
            return declaration
    return None


def run_behind(resource: DltResource) -> Run | None:
    """The run of a resource; ``None`` if it is not an entity of this source."""
    declaration = declaration_of(resource)
    return None if declaration is None else declaration.reader.session.run


class Declaration:
    """Adds the entity's table to the dlt schema before the first item.

    A pipe step rather than part of the generator, because steps run in the thread that changes the schema.
    """

    __signature__ = ONE_ITEM  # of __call__

    def __init__(self, reader: EntityReader) -> None:
        self.reader = reader
        self._schema: Schema | None = None

    def __call__(self, item: Any) -> Any:
        """Pass on the item."""
        if not is_extracting():
            return item
        schema, run = dlt.current.source_schema(), self.reader.session.run
        if schema is not self._schema:
            declare_table(
                schema,
                self.reader.shape,
                run.options.deletes,
                run.selection.names,
                self.reader.table,
            )
            if self.reader.strategy.kind == "log":
                log_only(schema, self.reader.table)
            self._schema = schema
        if isinstance(item, pa.Table) and EXTRA in item.column_names:
            field = item.schema.field(EXTRA)
            declare_column(schema, self.reader.table, field, self.reader.name)
        return item

    def append_if_new(self) -> None:
        """Append the rows of this load if all of them are new to their table."""
        if self.reader.appends:
            append_only(dlt.current.source_schema(), self.reader.table)
            self._schema = None  # a source may serve another round
