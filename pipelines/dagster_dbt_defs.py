"""Exact Online and its dbt package in one graph: copy both, then run ``dagster dev -f dagster_dbt_defs.py``.

dagster-dbt matches the package's source ``exact_online`` with the assets of ``exact_source.dagster``.
Models are built when their tables have changed; see docs/dagster.md.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import dlt
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, DbtProject, dbt_assets

from exact_source.dagster import Books

DATABASE = Path("exact.duckdb").absolute()
PACKAGE = Path(os.environ.get("EXACT_DBT_PACKAGE", "dbt")).absolute()  # a copy of pipelines/dbt
os.environ.setdefault("EXACT_DUCKDB", str(DATABASE))  # read by the profile of the package
PROJECT = DbtProject(PACKAGE, profiles_dir=PACKAGE)
DBT = DbtCliResource(project_dir=PROJECT)
if not PROJECT.manifest_path.exists():  # after you change the package, run `dbt parse`
    DBT.cli(["parse"], target_path=PROJECT.manifest_path.parent).wait()


class Translator(DagsterDbtTranslator):
    """Models follow their sources even if some divisions have not been synced yet."""

    def get_automation_condition(self, _properties: Any) -> dg.AutomationCondition[Any]:
        """Build when a table has changed and no table is being loaded."""
        eager = dg.AutomationCondition.eager()
        return eager.without(~dg.AutomationCondition.any_deps_missing())


@dbt_assets(
    manifest=PROJECT.manifest_path, dagster_dbt_translator=Translator(), pool="exact_online"
)
def models(context: dg.AssetExecutionContext, dbt: DbtCliResource) -> Iterator[Any]:
    """Build the package and run its tests."""
    yield from dbt.cli(["build"], context=context).stream()


defs = dg.Definitions.merge(
    Books(destination=dlt.destinations.duckdb(str(DATABASE))).definitions(),
    dg.Definitions(assets=[models], resources={"dbt": DBT}),
)
