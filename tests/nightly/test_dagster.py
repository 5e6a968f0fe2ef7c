"""The files and commands of docs/dagster.md, in a separate environment with Dagster and dbt."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.environments import environment
from tests.support.fixtures import MakeWorld
from tests.support.world import World

pytestmark = [pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dagster.md").read_text()

# A project of components, as `create-dagster` lays it out, with the defs.yaml of the page.
COMPONENT, LIMITS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
PROJECT = {
    "pyproject.toml": '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "books"\n',
    "books/__init__.py": "",
    "books/defs/__init__.py": "",
    "books/defs/exact_online/defs.yaml": COMPONENT,
}
DESCRIBED = """
import json, sys
from pathlib import Path
import dagster as dg
sys.path.insert(0, ".")
instance, run = dg.DagsterInstance.get(), None
if sys.argv[1] == "component":
    defs = dg.load_from_defs_folder(path_within_project=Path.cwd())
    instance.add_dynamic_partitions("exact_online_divisions", sys.argv[2:])
    sync = defs.resolve_job_def("exact_online_sync")
    run = sync.execute_in_process(partition_key=sys.argv[2], instance=instance).success
else:
    import dagster_defs
    defs = dagster_defs.defs
said = {}
for spec in defs.resolve_all_asset_specs():
    columns = spec.metadata["dagster/column_schema"].columns
    said[spec.key.path[-1]] = {
        "columns": {c.name: c.type for c in columns},
        "described": sum(bool(c.description) for c in columns),
        "description": spec.description,
        "table": spec.metadata["dagster/table_name"],
        "stale_after_s": spec.freshness_policy.fail_window.to_timedelta().total_seconds(),
        "automation": spec.automation_condition and str(spec.automation_condition.get_label()),
    }
print()
print(json.dumps({"assets": said, "run": run}))
"""
LINEAGE = """
import json, sys
sys.path.insert(0, ".")
import dagster as dg
import dagster_dbt_defs as m
defs, instance = m.defs, dg.DagsterInstance.get()
instance.add_dynamic_partitions("exact_online_divisions", [sys.argv[1]])
models = dg.AssetSelection.assets(m.models)
upstream = {
    key.path[-1]: [dep.asset_key.to_user_string() for dep in spec.deps]
    for key, spec in m.models.specs_by_key.items()
}
def ask(cursor=None):
    return dg.evaluate_automation_conditions(
        defs, instance, asset_selection=models, cursor=cursor
    )
def names(found):
    return [k.path[-1] for k in m.models.keys if found.get_num_requested(k)]
before = ask()
sync = defs.resolve_job_def("exact_online_sync")
assert sync.execute_in_process(partition_key=sys.argv[1], instance=instance).success
after = ask(before.cursor)
built = dg.materialize([m.models], instance=instance, resources={"dbt": m.DBT})
print()
print(json.dumps({
    "upstream": upstream, "before": names(before), "requested": names(after), "built": built.success,
}))
"""


@dataclass
class Dagster:
    """An installation with a copy of the definitions in its folder."""

    world: World
    home: Path

    def __post_init__(self) -> None:
        self.python = environment(
            "dagster", ROOT / "tests" / "support" / "dagster_requirements.txt"
        )
        self.home.mkdir()
        shutil.copy(ROOT / "pipelines" / "dagster_defs.py", self.home)
        (self.home / "dagster.yaml").write_text(f"{LIMITS}telemetry:\n  enabled: false\n")

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in {"LANG", "LC_ALL", "TMPDIR"}}
        box = self.world.box
        settings = {
            "base_url": self.world.base_url,
            "client_id": box.client_id,
            "client_secret": box.client_secret,
            "token_file": str(self.world.folder / "tokens.json"),
        }
        return kept | {
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "DLT_DATA_DIR": str(self.home / "dlt"),  # root's is not in its home
            "PYTHONPATH": str(ROOT),
            "DAGSTER_HOME": str(self.home),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
            **{f"SOURCES__EXACT_ONLINE__{k.upper()}": v for k, v in settings.items()},
        }

    def script(self, code: str, *arguments: str) -> Any:
        """What a script prints last, as JSON; it runs in Dagster's folder."""
        done = subprocess.run(
            [str(self.python), "-c", code, *arguments], cwd=self.home, env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home / "exact.duckdb")) as database:
            return database.execute(statement).fetchall()


@pytest.fixture
def dagster(make_world: MakeWorld, tmp_path: Path) -> Dagster:
    world = make_world(page_size=60, large_page_size=1000)
    world.box.state.limits.minute_limit = 1000
    world.box.clock.set(time.time())  # Dagster runs by the computer's own clock
    world.box.clock.run()
    world.login()
    return Dagster(world, tmp_path / "dagster")


ACCOUNTS = 'entities=["accounts"]'


def narrow(dagster: Dagster, *replacements: tuple[str, str]) -> None:
    """Few entities, so that a test takes seconds."""
    file = dagster.home / "dagster_defs.py"
    text = file.read_text()
    for old, new in (
        ('duckdb("exact.duckdb")', f'duckdb("exact.duckdb"), {ACCOUNTS}'),
        *replacements,
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    file.write_text(text)


def truth(world: World, path: str) -> dict[int, int]:
    return {division: len(world.box.rows(path, division)) for division in world.box.divisions}


def test_the_commands_of_the_page(dagster: Dagster) -> None:
    world = dagster.world
    install, develop, materialize = re.findall(r"^(?:pip|dagster) .*$", PAGE, re.MULTILINE)
    assert "exact-source[dagster]" in install
    # It is a web server, which is not installed here, and the daemon, which test_the_daemon_... runs.
    assert develop == "dagster dev -f dagster_defs.py"
    narrow(dagster)
    add = (
        "import dagster as dg, sys; "
        "dg.DagsterInstance.get().add_dynamic_partitions('exact_online_divisions', sys.argv[1:])"
    )
    subprocess.run(
        [str(dagster.python), "-c", add, str(world.division)],
        env=dagster.environment, check=True, capture_output=True,
    )  # fmt: skip
    done = subprocess.run(
        materialize.replace("1000123", str(world.division)), shell=True, cwd=dagster.home,
        env=dagster.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]

    found = dagster.sql("SELECT count(*) FROM exact_online.accounts")
    assert found == [(truth(world, "crm/Accounts")[world.division],)]


def test_assets_say_what_is_in_their_tables(dagster: Dagster) -> None:
    """Columns, descriptions, the table's name, a freshness policy; also of the component."""
    division, place = dagster.world.division, "destination: postgres"
    assert COMPONENT.count(place) == 1
    for name, text in PROJECT.items():
        (dagster.home / name).parent.mkdir(parents=True, exist_ok=True)
        (dagster.home / name).write_text(text.replace(place, "destination: duckdb:exact.duckdb"))
    eager = f"{ACCOUNTS}, automation_condition=dg.AutomationCondition.eager()"
    narrow(dagster, ("import dlt", "import dagster as dg\nimport dlt"), (ACCOUNTS, eager))
    for which, condition, hours in (
        ("dagster_defs", "eager", 26),
        ("component", "on_cron(@daily, UTC)", 12),
    ):
        said = dagster.script(DESCRIBED, which, str(division))
        accounts = said["assets"]["accounts"]
        assert {"id": "text", "division": "bigint", "modified": "timestamp"}.items() <= (
            accounts["columns"].items()
        )
        assert accounts["described"] > 10
        assert accounts["description"]
        assert accounts["table"] == "exact_online.accounts"
        assert accounts["stale_after_s"] == hours * 3600
        assert accounts["automation"] == condition
    assert sorted(said["assets"]) == ["accounts", "transaction_lines"]
    assert said["run"]
    (rows,) = dagster.sql("SELECT count(*) FROM exact_online.accounts")
    assert rows == (truth(dagster.world, "crm/Accounts")[division],)


def test_models_of_the_dbt_package_follow_the_assets(dagster: Dagster) -> None:
    shutil.copy(ROOT / "pipelines" / "dagster_dbt_defs.py", dagster.home)
    shutil.copytree(ROOT / "pipelines" / "dbt", dagster.home / "dbt")

    found = dagster.script(LINEAGE, str(dagster.world.division))

    assert (
        "exact_online/transaction_lines" in found["upstream"]["stg_exact_online__transaction_lines"]
    )
    assert found["before"] == []  # nothing was loaded yet
    assert "stg_exact_online__transaction_lines" in found["requested"]
    assert found["built"]
    lines = len(
        dagster.world.box.rows("financialtransaction/TransactionLines", dagster.world.division)
    )
    (count,) = dagster.sql("SELECT count(*) FROM exact_online.transaction_lines")[0]
    (built,) = dagster.sql("SELECT count(*) FROM exact_finance.exact_online__general_ledger")[0]
    assert count == lines
    assert 0 < built <= lines


@pytest.mark.proofs
def test_the_daemon_starts_the_runs_of_a_tick(dagster: Dagster) -> None:
    """By the computer's clock, because the daemon knows no other: up to a minute until the tick."""
    narrow(dagster, (ACCOUNTS, f'{ACCOUNTS}, cron="* * * * *"'))
    start = "dagster schedule start exact_online_schedule -f dagster_defs.py"
    subprocess.run(
        start,
        shell=True,
        cwd=dagster.home,
        env=dagster.environment,
        check=True,
        capture_output=True,
    )
    watch = (
        "import dagster as dg, time\n"
        "instance = dg.DagsterInstance.get()\n"
        "done = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS])\n"
        "while len({r.tags['dagster/partition'] for r in instance.get_runs(done)}) < 2:\n"
        "    time.sleep(1)\n"
    )
    with subprocess.Popen(
        [str(dagster.python.with_name("dagster-daemon")), "run", "-f", "dagster_defs.py"],
        cwd=dagster.home, env=dagster.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as daemon:  # fmt: skip
        try:
            subprocess.run(
                [str(dagster.python), "-c", watch], env=dagster.environment, check=True, timeout=300
            )
        finally:
            daemon.terminate()
    rows = dict(dagster.sql("SELECT division, count(*) FROM exact_online.accounts GROUP BY 1"))
    assert rows == truth(dagster.world, "crm/Accounts")
