"""dlt table schemas: hints, and types kept from earlier loads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
from dlt.common.schema import Schema
from dlt.common.schema.typing import (
    TColumnSchema,
    TDeleteInsertStrategyDict,
    TSchemaContract,
    TTableReference,
    TTableSchema,
)
from dlt.common.schema.utils import new_table
from dlt.destinations.impl.bigquery.bigquery_adapter import (
    CLUSTER_COLUMNS_HINT,
    TABLE_DESCRIPTION_HINT,
)

from ..catalogue.descriptions import HASHED, describe_columns, describe_table, references_of
from ..engine import rows
from ..engine.shape import Shape
from .warehouse import TYPE_CODES

DELETE_INSERT: TDeleteInsertStrategyDict = {"disposition": "merge", "strategy": "delete-insert"}
# With a contract that discards, dlt drops a new table of this package without a message.
ALL_ROWS: TSchemaContract = "evolve"
CHANGE_LOG = "x-exact-change-log"  # hint of a table whose rows are states
CLUSTER_COLUMNS_MAX = 4  # BigQuery accepts no more


def declare_table(
    schema: Schema, shape: Shape, deletes: str, selected: Iterable[str], name: str = ""
) -> None:
    """Add the entity's columns to the dlt schema.

    This is done once here, because dlt would validate and merge resource hints at every yield.

    Args:
        schema: Schema of the source.
        shape: Shape of the entity's rows.
        deletes: Treatment of deleted rows.
        selected: Tables that are loaded in this run.
        name: Name of the table; default: the name of the entity.
    """
    texts = column_texts(shape)
    columns = [column_hint(field, texts.get(field.name)) for field in shape.arrow]
    keys = {"division", *shape.keys}
    for column in columns:
        column["nullable"] = column["name"] not in keys
        if column["name"] == rows.DELETED_AT.name and deletes == "hard":
            column["hard_delete"] = True
        # dlt keeps, of two rows with one key, the higher version or, without versions, the later row.
        if column["name"] == (
            shape.version if shape.version == "timestamp" else rows.SYNCED_AT.name
        ):
            column["dedup_sort"] = "desc"
    name = name or shape.entity.name
    stored = schema.tables.get(name, {}).get("columns", {})
    for column in stored.values():  # hints of an earlier route or delete mode
        column.pop("dedup_sort", None)
        column.pop("hard_delete", None)
        if str(column.get("description", "")).endswith(HASHED):  # it may no longer be hashed
            del column["description"]
    references = table_references(shape, {*schema.tables, *selected})
    # Set here too, because a load without rows would leave the table with dlt's own defaults.
    table = new_table(
        name,
        write_disposition="merge",
        columns=columns,
        resource=shape.entity.name,
        references=references,
    )
    if text := describe_table(shape.entity.name):
        table["description"] = text
    schema.update_table(with_bigquery_hints(table, ["division", *shape.keys]))


def column_texts(shape: Shape) -> dict[str, str]:
    """Column -> description, with a note if the column is hashed."""
    texts = describe_columns(shape.entity.name, shape.arrow.names)
    names = (shape.full.columns[f].name for f in shape.guard.hashed if f in shape.full.columns)
    return texts | {name: f"{texts.get(name, '')} {HASHED}".lstrip() for name in names}


def declare_column(schema: Schema, name: str, field: pa.Field, resource: str) -> None:
    """Add a column of an entity's table to the dlt schema, so that no contract can drop its rows."""
    if field.name not in schema.tables[name]["columns"]:
        columns = [column_hint(field)]
        schema.update_table(
            new_table(name, columns=columns, write_disposition="merge", resource=resource)
        )


def append_only(schema: Schema, name: str) -> None:
    """Append the rows of this load to a table; the next ``declare_table`` reverses that."""
    table = schema.tables[name]
    table["write_disposition"] = "append"
    for column in table["columns"].values():  # merge hints, which dlt would warn about
        column.pop("dedup_sort", None)
        column.pop("hard_delete", None)


def log_only(schema: Schema, name: str) -> None:
    """Make every load append rows and deletions to a table, so that it contains all states."""
    append_only(schema, name)
    schema.tables[name][CHANGE_LOG] = True  # type: ignore[literal-required]  # a hint of our own


def with_bigquery_hints(table: TTableSchema, keys: Sequence[str]) -> TTableSchema:
    """The table with hints for BigQuery, which other destinations ignore.

    A company's rows are clustered, so that a query or a merge of one company reads little else. A user's
    ``bigquery_adapter`` is applied later and takes precedence.
    """
    hints: dict[str, Any] = {CLUSTER_COLUMNS_HINT: keys[:CLUSTER_COLUMNS_MAX]}
    if text := table.get("description"):
        hints[TABLE_DESCRIPTION_HINT] = text
    return cast("TTableSchema", {**table, **hints})


def table_references(shape: Shape, tables: Collection[str]) -> list[TTableReference]:
    """The first reference to each existing table; dlt keeps one for each."""
    first: dict[str, TTableReference] = {}
    for found in references_of(shape.entity):
        if found.table in tables and found.column in shape.arrow.names:
            reference: TTableReference = {
                "columns": ["division", found.column],
                "referenced_table": found.table,
                "referenced_columns": ["division", found.key],
            }
            first.setdefault(found.table, reference)
    return list(first.values())


def as_loaded(shape: Shape, loaded: Mapping[str, TColumnSchema]) -> Shape:
    """The shape with the types of its table, if the catalogue now has other types.

    No destination changes the type of a column with values, and a load in another type fails. A value that
    does not fit the older type goes to ``_extra`` and is reported.

    Args:
        shape: Shape according to the catalogue.
        loaded: Column -> dlt's description from earlier loads.
    """
    type_codes: dict[str, str] = {}
    for field, column in shape.full.columns.items():
        known = loaded.get(column.name, {})
        if field != "Division" and "data_type" in known:
            before = TYPE_CODES.get((known.get("data_type"), known.get("precision")))
            now = column_hint(shape.full.arrow.field(column.name))
            if before and TYPE_CODES[now.get("data_type"), now.get("precision")] != before:
                type_codes[field] = before
    return shape.with_type_codes(type_codes) if type_codes else shape


def column_hint(field: pa.Field, description: str | None = None) -> TColumnSchema:
    """Dlt's description of an Arrow column."""
    kind = field.type
    hint: TColumnSchema = {"name": field.name, "nullable": True}
    if description is not None:
        hint["description"] = description
    if pa.types.is_timestamp(kind):
        # Exact's wall-clock times have no zone; dlt would treat them as UTC (API 3.5).
        hint.update({"data_type": "timestamp", "timezone": kind.tz is not None})
    elif pa.types.is_decimal(kind):
        hint.update({"data_type": "decimal", "precision": kind.precision, "scale": kind.scale})
    elif pa.types.is_integer(kind):
        hint["data_type"] = "bigint"
        if kind.bit_width != 64:  # noqa: PLR2004
            hint["precision"] = kind.bit_width
    elif pa.types.is_floating(kind):
        hint["data_type"] = "double"
    elif pa.types.is_boolean(kind):
        hint["data_type"] = "bool"
    else:
        hint["data_type"] = "text"
    return hint
