"""``exact-source schema``: the tables of chosen entities, as dlt describes them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigurationError
from ._output.options import AsJson, Entities
from ._output.start import start

if TYPE_CHECKING:
    from dlt.common.schema import Schema


class Format(StrEnum):
    """Formats in which dlt exports a schema."""

    yaml = "yaml"
    dbml = "dbml"
    mermaid = "mermaid"


def schema(
    entities: Entities = None,
    form: Annotated[
        Format, typer.Option("--format", metavar="yaml|dbml|mermaid", help="Form of the export.")
    ] = Format.yaml,
    deletes: Annotated[
        str, typer.Option(metavar="hard|soft|ignore", help="How a sync treats deleted rows.")
    ] = "hard",
    as_json: AsJson = False,
) -> None:
    """Print the tables that a sync makes: columns, types and keys. Makes no call.

    Example: exact-source schema --entities accounts,sales_invoices --format mermaid
    """
    start()
    from ..source import make_options

    make_options(deletes=deletes)  # refuses an invalid value
    made = make_schema(entities, deletes)
    typer.echo(made.to_pretty_json() if as_json else export(made, form))


def make_schema(entities: str | None, deletes: str) -> Schema:
    """A dlt schema with a table for each entity.

    Raises:
        ConfigurationError: If an entity is unknown.
    """
    from dlt.common.schema import Schema

    from ..catalogue import choose_entities, load_catalogue
    from ..catalogue.feeds import plan_feeds
    from ..engine.functions import shape_of
    from ..loading.tables import DELETE_INSERT, declare_table

    catalogue = load_catalogue()
    made = Schema("exact_online")
    names = choose_entities(entities, catalogue)
    for name in names:
        entity = catalogue.entities[name]
        shape = shape_of(entity, plan_feeds(entity))
        declare_table(made, shape, deletes, names)
        table = made.tables[name]
        table["write_disposition"] = DELETE_INSERT["disposition"]
        table["x-merge-strategy"] = DELETE_INSERT["strategy"]  # type: ignore[typeddict-unknown-key]
        for key in ("division", *shape.keys):
            table["columns"][key].update({"primary_key": True, "nullable": False})
    return made


def export(made: Schema, form: Format) -> str:
    """The text of an export.

    Raises:
        ConfigurationError: If dlt needs a package for it that is not installed.
    """
    if form is Format.yaml:
        return made.to_pretty_yaml()
    try:
        if form is Format.dbml:
            # Otherwise dlt looks up referenced columns in the tables that are left out.
            return made.to_dbml(include_dlt_tables=False, include_internal_dlt_ref=False)
        return made.to_mermaid(include_dlt_tables=False)
    except ImportError:
        raise ConfigurationError(
            f'--format {form} needs PyDBML; install it with: pip install "dlt[dbml]"'
        ) from None
