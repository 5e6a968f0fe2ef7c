"""What a group of companies costs the warehouse, whatever their number; docs/many-companies.md as it is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from exact_source.leases import leases_from_settings
from exact_source.settings import Settings
from tests.conftest import MakeWorld
from tests.world import World

PAGE = (Path(__file__).parents[2] / "docs" / "many-companies.md").read_text()
BLOCKS = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
ENTITIES = ("accounts", "items", "journals")
# A file of rows for each table that has some, whoever they are of, and one merge for all of them.
JOBS = ["_dlt_pipeline_state", "_exact_syncs", "accounts", "accounts"]


def jobs_of(world: World) -> list[str]:
    """The tables of the jobs of the last load, a name for each job."""
    assert world.pipeline.last_trace is not None
    info = world.pipeline.last_trace.last_load_info
    assert info is not None
    (package,) = info.load_packages
    return sorted(job.job_file_info.table_name for job in package.jobs["completed_jobs"])


@pytest.mark.parametrize("companies", [1, 24])
def test_a_sync_in_which_little_changed_is_one_load_of_a_few_jobs(
    make_world: MakeWorld, companies: int
) -> None:
    world = make_world(companies=companies, invoices=1, page_size=60, large_page_size=1000)
    assert world.sync(*ENTITIES).rounds == 1
    for division in world.box.divisions:
        key = world.keys("crm/Accounts", division)[0]
        world.box.update("crm/Accounts", division, key, {"Name": "changed"})

    outcome = world.sync(*ENTITIES)

    assert (outcome.exit_code, outcome.rounds) == (0, 1)
    assert sum(result.rows for result in outcome.results) >= companies
    assert jobs_of(world) == JOBS
    world.assert_equal("accounts")


def test_the_snippets_of_the_page() -> None:
    exec(compile(BLOCKS["python"], "many-companies.md", "exec"), {})
    given = tomllib.loads(BLOCKS["toml"])["sources"]["exact_online"]
    plain: dict[str, Any] = dict.fromkeys(("base_url", "client_id", "client_secret"), "")
    assert leases_from_settings(Settings(redirect_uri="", **plain, **given)) is not None
