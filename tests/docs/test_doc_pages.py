"""Runs the snippets of the pages against a sandbox, and checks their links."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
import yaml

from exact_source import exact_online
from exact_source.cli import app
from exact_source.settings import Settings
from tests.support.books import leave_open
from tests.support.cli_fixtures import Cli
from tests.support.named import source_of
from tools.docs import dlt_pages as recorded
from tools.docs.dlt_pages import pages as dlt_pages
from tools.docs.reference_pages import pages

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
# Pages whose every snippet is run here.
COVERED = (
    *(f"docs/{name}.md" for name in (
        "cli", "columns", "dbt", "deletes", "entities", "errors", "exit-codes", "features", "first-sync",
        "how-it-works", "index", "install", "licences", "promises", "report", "sandbox", "settings", "setup",
        "speed", "tokens", "troubleshooting", "dlt", "power-bi",
    )),
)  # fmt: skip
REPOSITORY = "https://github.com/exact-source/exact-source"
HERE = "tests/docs/test_doc_pages.py"
SOME, SHELL_TEST = (
    f"{HERE}::test_some_snippets_of_the_page_run",
    f"{HERE}::test_what_a_shell_block_calls_is_there",
)
TOML = f"{HERE}::test_settings_that_a_page_shows_are_read"
README = "tests/docs/test_readme.py::test_the_commands_and_snippets_do_what_is_shown"
WEBHOOKS = "tests/cli/test_webhooks.py::test_the_commands_of_the_page_in_their_order"
# The others: language of their blocks -> the test that runs them.
OTHERS = {
    "README.md": {
        "console": README,
        "python": README,
        "sh": "tests/docs/test_readme.py::test_extras_that_are_installed_exist",
        "sql": README,
        "text": README,
    },
    "docs/airflow.md": {
        "": "tests/nightly/test_airflow.py::test_the_commands_of_the_page_bring_all_companies_up_to_date",
        "python": "tests/nightly/test_airflow.py::test_the_snippets_of_the_page_make_dags",
    },
    "docs/verify.md": {
        "": "tests/cli/test_verify.py::test_the_report_holds_no_value_of_a_row",
    },
    "docs/cron.md": {
        "": "tests/cli/test_cron.py::test_the_crontab_line_and_the_units_command_do_their_work",
        "ini": "tests/cli/test_cron.py::test_systemd_accepts_the_units",
        "toml": TOML,
    },
    "docs/dagster.md": {
        "": "tests/nightly/test_dagster.py::test_the_commands_of_the_page",
        "yaml": "tests/nightly/test_dagster.py::test_assets_say_what_is_in_their_tables",
    },
    "docs/destinations.md": {
        "sql": "tests/dlt/test_strategies.py::test_the_query_of_the_page_finds_the_rows_of_a_change_log",
    },
    "docs/github-actions.md": {
        "sh": "tests/nightly/test_schedulers.py"
        "::test_a_runner_that_keeps_nothing_continues_with_the_variables_of_the_file",
    },
    "docs/kubernetes.md": {"sh": SHELL_TEST},
    "docs/prefect.md": {"sh": SHELL_TEST},
    "docs/history.md": {
        "console": SOME,
        "python": SOME,
        "sql": "tests/dlt/test_history.py::test_the_query_of_the_documentation_finds_what_was_true_then",
    },
    "docs/many-companies.md": {
        "python": "tests/dlt/test_groups.py::test_the_snippets_of_the_page",
        "toml": "tests/dlt/test_groups.py::test_the_snippets_of_the_page",
    },
    "docs/queries.md": {
        "console": SOME,
        "sql": "tests/docs/test_doc_queries.py::test_there_are_ten",
    },
    "docs/personal-data.md": {
        "": "tests/dlt/test_personal_data.py::test_the_command_and_the_settings_of_the_page",
        "toml": "tests/dlt/test_personal_data.py::test_the_command_and_the_settings_of_the_page",
    },
    "docs/webhooks.md": {"": WEBHOOKS, "toml": TOML},
}
AUTH = "tests/cli/test_auth_cli.py"
# Commands that are not run here, and the test that runs them.
ELSEWHERE = {
    "exact-source init": "tests/cli/test_cli_init.py::test_on_a_terminal_it_asks_logs_in_and_checks",
    "exact-source login": f"{AUTH}::test_login_asks_and_takes_the_address_it_led_to",
    "exact-source login --code": f"{AUTH}::test_login_takes_a_code_or_the_address",
    "exact-source logout": f"{AUTH}::test_logout_asks_and_deletes",
}
# Blocks that are settings: they have to be well formed.
DATA: dict[str, Callable[[str], object]] = {"toml": tomllib.loads, "yaml": yaml.safe_load}
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def snippets(page: str) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block, in order."""
    for indent, language, text in FENCE.findall((ROOT / page).read_text()):
        yield language, re.sub(f"^{indent}", "", text, flags=re.MULTILINE)


@pytest.fixture
def person(make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A logged-in user who follows a page in an empty folder."""
    cli = make_cli()
    cli.world.box.state.limits.minute_limit = 1_000_000
    cli.world.box.clock.set(time.time())
    cli.world.box.clock.run()
    cli.world.login()
    leave_open(cli.world.box)
    return cli


@pytest.mark.parametrize("page", COVERED)
def test_every_snippet_of_the_page_runs(page: str, person: Cli) -> None:
    run_snippets(page, person, {"console", "python", "sql", "toml", "yaml", "sh", "text"})


@pytest.mark.parametrize("page", [page for page, of in OTHERS.items() if SOME in of.values()])
def test_some_snippets_of_the_page_run(page: str, person: Cli) -> None:
    mine = {language for language, test in OTHERS[page].items() if test == SOME}
    run_snippets(page, person, mine, exact_online=exact_online)


def run_snippets(page: str, person: Cli, languages: set[str], **given: object) -> None:
    names: dict[str, object] = {"__name__": "__main__", **given}
    with served(page) as base_url:
        for language, text in snippets(page):
            if language not in languages:
                assert page in OTHERS, f"{page}: a block of {language or 'no language'}"
            elif language == "console":
                for command in commands(text):
                    run_command(command, person, base_url)
            elif language == "python":
                exec(compile(text, page, "exec"), names)
            elif language == "sql":
                with duckdb.connect("exact.duckdb") as database:
                    assert database.execute(text).fetchall()
            elif language in DATA:
                DATA[language](text)


def commands(text: str) -> list[str]:
    """The commands of a block: lines that begin with ``$``, or all of them if none does."""
    lines = text.replace("\\\n", " ").splitlines()
    marked = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return marked or [line for line in lines if line.strip() and not line.startswith("#")]


def run_command(command: str, person: Cli, base_url: str | None) -> None:
    words = shlex.split(command, comments=True)
    if " ".join(words) in ELSEWHERE or " ".join(words[:3]) in ELSEWHERE:
        return
    if words[0] == "curl":
        assert base_url is not None
        answer = curl(words[1:], base_url)
        assert answer.status_code == 200, (command, answer.text)
    elif words[1] != "sandbox":  # that one is running already
        assert words[0] == "exact-source", command
        smaller = ("--invoices", "20") if words[1] == "demo" else ()
        result = person(*words[1:], *smaller)
        assert result.code == 0, (command, result.err)


def curl(words: list[str], base_url: str) -> httpx.Response:
    """The request that a line with curl sends, to where the sandbox really is."""
    options = {key: value for key, value in pairwise(words) if key in {"-X", "-d"}}
    url = next(word for word in words if word.startswith("http"))
    body = options.get("-d")
    if body is not None:
        json.loads(body)
    method = options.get("-X", "GET")
    url = url.replace("http://127.0.0.1:8080", base_url)
    return httpx.request(method, url, content=body, trust_env=False)


@contextmanager
def served(page: str) -> Iterator[str | None]:
    """The sandbox that a page starts, on a free port and smaller; ``None`` if it starts none."""
    line = next(
        (c for k, t in snippets(page) if k == "console" for c in commands(t) if " sandbox " in c),
        None,
    )
    if line is None:
        yield None
        return
    smaller = line.replace("--port 8080", "--port 0").replace("--invoices 10000", "--invoices 20")
    assert "--port 0" in smaller
    process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(smaller.replace("exact-source", "exact_source", 1))],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found is not None
        yield found.group()
    finally:
        process.kill()
        process.communicate()


def test_every_page_is_covered() -> None:
    pages = {"README.md", *(f"docs/{page.name}" for page in DOCS)}
    assert pages == {*COVERED, *OTHERS}
    assert set(COVERED) & set(OTHERS) == set()


@pytest.mark.parametrize("page", OTHERS)
def test_each_block_of_the_page_has_a_test_that_reads_the_page(page: str) -> None:
    assert {language for language, _ in snippets(page)} == set(OTHERS[page])
    for test in OTHERS[page].values():
        source_of(test)
        file = test.partition("::")[0]
        assert file == HERE or Path(page).name in (ROOT / file).read_text(), test


def test_each_block_of_the_other_pages_is_run_or_only_shows_what_is_printed() -> None:
    shell = {page for page in COVERED if "sh" in {language for language, _ in snippets(page)}}
    source_of(SHELL_TEST)
    assert shell <= set(SHELL)
    blocks = [language for page in COVERED for language, _ in snippets(page)]
    assert set(blocks) <= {"console", "python", "sql", "toml", "yaml", "sh", "text"}
    assert len([language for language in blocks if language in {"console", "python"}]) > 10


@pytest.mark.parametrize(("command", "test"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_a_command_that_is_not_run_here_is_run_by_the_test_that_is_named(
    command: str, test: str
) -> None:
    assert f'"{command.split()[1]}"' in source_of(test)


@pytest.mark.parametrize("page", [page for page, of in OTHERS.items() if TOML in of.values()])
def test_settings_that_a_page_shows_are_read(page: str) -> None:
    known = {*Settings.__dataclass_fields__, "webhook_secret", "webhook_path", "notices_url"}
    shown = [tomllib.loads(text) for language, text in snippets(page) if language == "toml"]
    for document in shown:
        assert set(document) <= {"sources", "runtime"}
        assert set(document.get("runtime", {})) <= {"slack_incoming_hook"}
        assert set(document.get("sources", {}).get("exact_online", {})) <= known
    assert shown


def in_navigation(entries: list[Any]) -> Iterator[str]:
    """The pages of the site's navigation, in order."""
    for entry in entries:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from in_navigation(target)


def test_every_page_is_in_the_navigation_once() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    assert sorted(in_navigation(site["nav"])) == [page.name for page in DOCS]
    sections = "Get started, Connect, Use, Run, Reference, Understand, Troubleshoot"
    assert ", ".join(name for entry in site["nav"] for name in entry) == sections


PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", *(f"docs/{p.name}" for p in DOCS)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings_that_are_there(page: str) -> None:
    path = ROOT / page
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        own = target.removeprefix(f"{REPOSITORY}/blob/main/")
        if own.startswith(("https://", "mailto:")):
            continue  # another site, which is not asked
        file, _, heading = own.partition("#")
        found = ((path.parent if own == target else ROOT) / file).resolve() if file else path
        assert found.exists(), f"{page} -> {target}"
        assert not heading or heading in slugs(found), f"{page} -> {target}"


def slugs(path: Path) -> set[str]:
    """Anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    return {"-".join(re.sub(r"[^\w\- ]", "", title.lower()).split()) for title in titles}


def test_options_in_the_table_of_the_sandbox_are_those_of_the_command(person: Cli) -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text()
    listed = set(re.findall(r"`(--[a-z-]+)", page.partition("## Log in")[0]))
    real = set(re.findall(r"(--[a-z-]+)", person("sandbox", "--help").out))
    assert listed - {"--fault"} <= real
    assert real - listed <= {"--help", "--verbose", "--log-format"}


SHELL = [page for page in PAGES if "```sh\n" in (ROOT / page).read_text()]


@pytest.mark.parametrize("page", SHELL)
def test_what_a_shell_block_calls_is_there(page: str, person: Cli) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in shell_commands(page):
        match shlex.split(command, comments=True):
            case ["make", target]:
                assert target in targets, command
            case ["exact-source", *words]:
                check_words(words, person)
            case ["podman" | "docker", "run", *words] if "exact-source" in words:
                check_words(words[words.index("exact-source") + 1 :], person)
            case ["cp", *words]:
                sources = [w for w in words if w.startswith("exact-source/")]
                assert all((ROOT / w.removeprefix("exact-source/")).exists() for w in sources)


def shell_commands(page: str) -> Iterator[str]:
    """The lines of the blocks that a shell reads, without the variables in front."""
    for language, text in snippets(page):
        if language == "sh":
            for line in text.replace("\\\n", " ").splitlines():
                yield re.sub(r"^([A-Z_]+=\S+ |opentelemetry-instrument )+", "", line)


def check_words(words: list[str], person: Cli) -> None:
    """A command has each of the options that a line gives it."""
    shown = person(words[0], "--help")
    assert shown.code == 0, words
    options = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert options <= set(re.findall(r"--[a-z-]+", shown.out)), words


def test_forms_for_issues_are_those_that_the_forge_takes() -> None:
    folder = ROOT / ".github" / "ISSUE_TEMPLATE"
    for file in sorted(folder.glob("*.yml")):
        form = yaml.safe_load(file.read_text())
        if file.name == "config.yml":
            assert set(form) <= {"blank_issues_enabled", "contact_links"}
            continue
        assert {"name", "description", "body"} <= set(form) <= FORM, file.name
        for field in form["body"]:
            assert field["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
            assert field["attributes"].get("label") or field["type"] == "markdown"
        for command in re.findall(r"exact-source [a-z -]+", file.read_text()):
            assert command.split()[1] in {*COMMANDS, "--version"}, command


FORM = {"name", "description", "title", "labels", "assignees", "projects", "type", "body"}
COMMANDS = {command.__name__ for command in app.COMMANDS}


def test_the_map_names_modules_and_folders_that_exist() -> None:
    page = (ROOT / "docs" / "how-it-works.md").read_text()
    named = set(re.findall(r"^\| .*?`([\w/]+(?:\.py|/))`", page, re.MULTILINE))

    assert len(named) >= 15
    assert [name for name in sorted(named) if not (ROOT / "exact_source" / name).exists()] == []


def test_the_page_of_commands_names_each_of_them() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    named = re.findall(r"^\| (`[a-z]+`(?:, `[a-z]+`)*) \|", page, re.MULTILINE)
    assert {name for cell in named for name in re.findall(r"`([a-z]+)`", cell)} >= COMMANDS


def test_the_generated_pages_are_up_to_date() -> None:
    for path, text in (pages() | dlt_pages()).items():
        assert path.read_text("utf-8") == text, (
            f"{path.name}: run python -m tools.docs.reference_pages and tools.docs.dlt_pages"
        )


@pytest.mark.nightly
@pytest.mark.parametrize("body", ["assert False", "pytest.skip('no server')"])
def test_results_stay_if_a_test_that_records_them_fails_or_is_skipped(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = tmp_path / "test_one.py"
    test.write_text(f"import pytest\n\ndef test_one(): {body}\n")
    records = ("IDIOMS", "RESULTS", "METHODS", "GENERATED")
    for name in records:
        (tmp_path / name).write_text('{"here": {}}')
        monkeypatch.setattr(recorded, name, tmp_path / name)
    for name in ("TESTS", "STORIES", "STRATEGIES", "SQL"):
        monkeypatch.setattr(recorded, name, test)

    with pytest.raises((subprocess.CalledProcessError, ValueError)):
        recorded.record()

    for name in records:
        assert (tmp_path / name).read_text() == '{"here": {}}'
