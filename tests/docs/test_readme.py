"""README.md: every command is run against a sandbox, and its output has the shape that is shown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import duckdb
import httpx
import pexpect
import pytest

from exact_source.catalogue import load_catalogue
from tests.support.cli_fixtures import Cli
from tests.support.isolation import forget_settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
REPOSITORY = "https://github.com/exact-source/exact-source"
RAW = REPOSITORY.replace("github.com", "raw.githubusercontent.com")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
ERASED = re.compile(r"[^\n]*\r\x1b\[K")
ESCAPES = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]|\r")


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def sessions() -> Iterator[tuple[str, list[str]]]:
    """Each command and the lines that are shown below it."""
    for text in blocks("console"):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            yield command, lines


def shape(line: str) -> str:
    """The line without figures and widths of columns, which differ from run to run."""
    return " ".join(re.sub(r"\d[\d,.:-]*( to \d[\d,]*)?", "0", line).split())


def assert_shows(shown: list[str], printed: str) -> None:
    """The shown lines are printed in this order; a line of three dots matches any number of lines."""
    pattern = ""
    for line in shown:
        words = re.escape(shape(line)).replace(re.escape("..."), ".*")
        pattern += r"(?:.*\n)*?" if line == "..." else rf"{words}\n"
    seen = ESCAPES.sub("", ERASED.sub("", printed)).splitlines()
    text = "".join(f"{shape(line)}\n" for line in seen)
    assert re.fullmatch(pattern, text), f"{pattern}\ndoes not match\n{text}"


@pytest.fixture
def person(make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A user in an empty folder, with a sandbox in the place of Exact Online."""
    cli = make_cli()
    cli.world.box.state.limits.minute_limit = 1_000_000
    cli.world.box.clock.set(time.time())
    cli.world.box.clock.run()
    for name in ("CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI", "TOKEN_FILE"):
        monkeypatch.delenv(f"SOURCES__EXACT_ONLINE__{name}")
    return cli


def test_the_commands_and_snippets_do_what_is_shown(
    person: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command, shown in sessions():
        if command.endswith("init"):
            printed = answer_init(person)
            forget_settings()
        else:
            options = ("--invoices", "20") if command.endswith("demo") else ()
            result = person(*command.split()[1:], *options)
            assert result.code == 0, (command, result.err)
            printed = result.out + result.err
        printed = printed.replace(person.world.base_url, "https://start.exactonline.nl")
        assert_shows(shown, printed.replace(str(Path.cwd()), "/srv/books"))

    assert_the_query_answers()
    assert_the_script_stays_in_its_folder(monkeypatch)


def answer_init(person: Cli) -> str:
    """What a terminal shows when the questions of ``init`` are answered as in the README."""
    box = person.world.box
    terminal = pexpect.spawn(
        sys.executable, ["-m", "exact_source", "init"], env={**os.environ, "BROWSER": "true"},
        timeout=60, dimensions=(60, 400), encoding="utf-8",
    )  # fmt: skip
    terminal.logfile_read = StringIO()
    for question, answer in [
        ("Country .*: ", "nl"),
        ("Client id .*: ", box.client_id),
        ("Client secret: ", box.client_secret),
        ("Redirect URI.*: ", box.redirect_uri),
        ("Destination .*: ", ""),
        ("Log in now.*: ", "y"),
    ]:
        terminal.expect(question)
        terminal.sendline(answer)
    terminal.expect(r"(http\S+)\s.*Paste that address.*:")
    assert isinstance(terminal.match, re.Match)
    terminal.sendline(httpx.get(str(terminal.match[1]), trust_env=False).headers["Location"])
    terminal.expect("Check everything.*: ")
    terminal.sendline("n")
    terminal.expect(pexpect.EOF)
    terminal.close()
    shown = str(terminal.logfile_read.getvalue())
    assert terminal.exitstatus == 0, shown
    return shown


def assert_the_query_answers() -> None:
    """The answer has the companies that are shown, each with an amount that is not zero."""
    (sql,), (text,) = blocks("sql"), blocks("text")
    with duckdb.connect("exact.duckdb", read_only=True) as database:
        answer = database.execute(sql).fetchall()
    shown = [line.rsplit(maxsplit=1) for line in text.splitlines()]
    assert [company for company, _ in answer] == [company.strip() for company, _ in shown]
    assert all(amount > 0 for _, amount in answer)


def assert_the_script_stays_in_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script runs in two folders, one after the other, and each has a database of its own."""
    first, second = Path.cwd(), Path.cwd().parent / "second"
    shutil.copytree(first / ".dlt", second / ".dlt", ignore=shutil.ignore_patterns("pipelines"))
    secrets = second / ".dlt" / "secrets.toml"
    secrets.write_text(secrets.read_text().replace(str(first), str(second)))
    for folder in (first, second):
        monkeypatch.setenv("DLT_PROJECT_DIR", str(folder))
        ended = run_script(folder)
        assert ended.returncode == 0, ended.stderr
        assert (folder / ".dlt" / "pipelines" / "exact_online").is_dir()
        with duckdb.connect(str(folder / "exact.duckdb"), read_only=True) as database:
            found = database.execute("SELECT count(*) FROM exact_online.accounts").fetchone()
        assert found is not None
        assert found[0] > 0


def run_script(folder: Path) -> subprocess.CompletedProcess[str]:
    (script,) = blocks("python")
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_script_names_a_missing_setting_in_one_line(person: Cli) -> None:
    ended = run_script(person.world.folder)

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "client_id" in ended.stderr


def test_it_is_short_and_its_blocks_are_those_that_are_run() -> None:
    assert len(README.splitlines()) <= 130
    kinds = [language for language, _ in BLOCKS]
    assert kinds == ["sh", "console", "console", "sql", "text", "python"]
    assert [command for command, _ in sessions()] == [
        f"exact-source {name}" for name in ("demo", "init", "check", "plan", "sync", "status")
    ]


def test_the_first_screen_says_what_was_never_tried() -> None:
    first = " ".join(README.splitlines()[:12])
    assert "not yet run against a live company" in first
    assert "not on PyPI yet" in first


def test_extras_that_are_installed_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = blocks("sh")[0].splitlines()
    assert [re.search(r"(\S+) install ", line)[1] for line in lines] == ["pip", "pipx", "tool"]  # type: ignore[index]
    named = set(re.findall(r"(?:exact-source|`)\[([a-z]+)\]", README))
    assert {"sandbox", "postgres"} <= named <= set(project["optional-dependencies"])


def test_the_tables_are_those_of_the_core_set() -> None:
    section = README.partition("## The tables\n")[2].partition("The option `--entities`")[0]
    named = set(re.findall(r"`([a-z_]+)`", section))
    lines = {f"{name.removesuffix('s')}_lines" for name in ("sales_orders", "sales_invoices")}
    assert "`sales_orders` and `sales_invoices` with their lines" in " ".join(section.split())
    # `deleted` is the list of deletions, not a table of the books.
    assert named | lines | {"deleted"} == set(load_catalogue().core)


def test_links_are_absolute_and_lead_to_files_that_are_there() -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    assert [link for link in links if not link.startswith("https://")] == []
    own = [link for link in links if "exact-source" in link]
    assert len(own) > 10
    for link in own:
        _, _, path = link.partition(
            "/blob/main/" if link.startswith(REPOSITORY) else f"{RAW}/main/"
        )
        assert path, link
        assert (ROOT / path.partition("#")[0]).is_file(), link
