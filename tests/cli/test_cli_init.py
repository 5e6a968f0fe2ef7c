"""``exact-source init``: flags, merging, questions on a real terminal."""

from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from exact_source.cli._output.command_line import own_command
from exact_source.cli.app import run
from exact_source.settings import load_settings
from tests.cli.test_cli_destination_errors import as_ordinary_user
from tests.support.cli_fixtures import Cli

FLAGS = {
    "--region": "be",
    "--client-id": "11111111-2222",
    "--client-secret": "s3cret-of-the-app",
    "--redirect-uri": "https://books.example/callback",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project's settings folder, without a terminal."""
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for name in [n for n in os.environ if n.startswith("SOURCES__EXACT_ONLINE__")]:
        monkeypatch.delenv(name)
    return tmp_path / "project" / ".dlt"


def init(*more: str, without: str = "", **changed: str) -> int:
    flags = FLAGS | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    flags.pop(without, None)
    return run(["init", *(part for pair in flags.items() for part in pair), *more])


def read(folder: Path, name: str) -> dict[str, Any]:
    return tomllib.loads((folder / f"{name}.toml").read_text())


def test_flags_write_settings_that_every_command_finds(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init("--destination", "postgresql://me:pw@db.example/books") == 0

    assert read(folder, "config")["sources"]["exact_online"] == {
        "region": "be",
        "redirect_uri": "https://books.example/callback",
        "destination": "postgres",
    }
    assert read(folder, "secrets") == {
        "sources": {
            "exact_online": {"client_id": "11111111-2222", "client_secret": "s3cret-of-the-app"}
        },
        "destination": {"postgres": {"credentials": "postgresql://me:pw@db.example/books"}},
    }
    settings = load_settings()
    assert (settings.base_url, settings.client_id) == (
        "https://start.exactonline.be",
        "11111111-2222",
    )
    printed = "".join(capsys.readouterr())
    assert f"next: {own_command()} login" in printed  # which works without activation, too
    assert "s3cret" not in printed
    assert "me:pw" not in printed


@pytest.mark.parametrize("where", ["nowhere", "file", "variable"])
def test_missing_credentials_of_the_destination_come_next(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    if where == "file":
        folder.mkdir(exist_ok=True)
        (folder / "secrets.toml").write_text('[destination.postgres.credentials]\nhost = "x"\n')
    if where == "variable":
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql://a/b")

    assert init("--destination", "postgres") == 0

    printed = capsys.readouterr().err
    assert ("[destination.postgres.credentials]" in printed) == (where == "nowhere")
    assert f"{own_command()} login" in printed


def test_the_secrets_are_private_and_ignored_by_git(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", str(folder.parent)], check=True)

    assert init() == 0

    assert stat.S_IMODE((folder / "secrets.toml").stat().st_mode) == 0o600
    names = (
        "secrets.toml",
        "config.toml",
        "exact_online_tokens.json",
        ".exact_online_tokens.json.lock",
    )
    ignored = subprocess.run(
        ["git", "check-ignore", *names], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.split()
    assert ignored == [name for name in names if name != "config.toml"]


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=me", "-c", "user.email=me@example", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("tracked", ["clone", "own repository", "no repository"])
def test_git_sees_no_change_no_secret_and_no_data(folder: Path, tracked: str) -> None:
    """In a clone the settings of its user go into the file that git ignores."""
    project = folder.parent
    folder.mkdir()
    if tracked == "clone":
        git(project, "init", "--quiet")
        (folder / "config.toml").write_text('[sources.exact_online]\nregion = "nl"\n')
        (project / ".gitignore").write_text(".dlt/secrets.toml\n")
        git(project, "add", "--force", ".dlt/config.toml", ".gitignore")
        git(project, "commit", "--quiet", "--message=all")
    elif tracked == "own repository":
        git(project, "init", "--quiet")

    assert init("--destination=duckdb") == 0
    assert init() == 0

    for name in ("exact.duckdb", "exact.duckdb.wal", "exact.duckdb.tmp", "exact-online.html",
                 ".exact.duckdb.exact_online.lock", ".dlt/secrets.toml",
                 ".dlt/exact_online_tokens.json", ".dlt/exact_online_notices.db"):  # fmt: skip
        (project / name).touch()
    if tracked == "no repository":
        git(project, "init", "--quiet")
    seen = {line[3:] for line in git(project, "status", "--short", "-uall").splitlines()}
    settings = {".dlt/config.toml"} if tracked != "clone" else set()
    assert seen - {".gitignore", ".dlt/.gitignore"} == settings
    assert tracked != "clone" or ".gitignore" not in seen
    found = load_settings()
    assert (found.base_url, found.redirect_uri) == (
        "https://start.exactonline.be", FLAGS["--redirect-uri"],
    )  # fmt: skip


@pytest.mark.parametrize("quoted", ['"{}"', " '{}' ", "“{}”\n", "{} "])
def test_spaces_and_quotes_around_a_value_do_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch, quoted: str
) -> None:
    assert init(**{name[2:]: quoted.format(value) for name, value in FLAGS.items()}) == 0
    assert read(folder, "secrets")["sources"]["exact_online"] == {
        "client_id": FLAGS["--client-id"], "client_secret": FLAGS["--client-secret"],
    }  # fmt: skip

    monkeypatch.setenv("SOURCES__EXACT_ONLINE__CLIENT_SECRET", quoted.format("exported"))
    assert load_settings().client_secret == "exported"


def test_a_readable_secrets_file_is_closed_even_if_nothing_changes(folder: Path) -> None:
    init()
    (folder / "secrets.toml").chmod(0o644)

    assert init() == 0

    assert stat.S_IMODE((folder / "secrets.toml").stat().st_mode) == 0o600


def test_what_else_is_in_the_files_stays(folder: Path) -> None:
    folder.mkdir()
    text = (
        '# mine\n[runtime]\nlog_level = "INFO"  # loud\n\n[sources.exact_online]\nroute = "bulk"\n'
    )
    (folder / "config.toml").write_text(text)

    assert init() == 0

    written = (folder / "config.toml").read_text()
    assert written.startswith(text)
    assert read(folder, "config")["sources"]["exact_online"]["region"] == "be"


def test_the_same_again_changes_nothing(folder: Path) -> None:
    init()
    before = {path: path.read_bytes() for path in folder.iterdir()}

    assert init() == 0

    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("region", "de"),
        ("client_secret", "n3w-s3cret"),
        ("destination", "postgresql://db.example/other"),
    ],
)
def test_another_value_needs_replace(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, flag: str
) -> None:
    init("--destination", "postgresql://db.example/books")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    capsys.readouterr()

    assert init(**{name: flag}) == 2

    said = capsys.readouterr().err
    assert "--replace" in said
    assert flag not in said
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert init("--replace", **{name: flag}) == 0
    assert flag in (folder / "config.toml").read_text() + (folder / "secrets.toml").read_text()


@pytest.mark.parametrize("missing", ["--client-id", "--client-secret", "--redirect-uri"])
def test_with_nobody_to_ask_one_line_names_what_is_missing(
    folder: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    assert init(without=missing) == 2

    said = capsys.readouterr().err
    assert missing in said
    assert said.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"region": "mars"},
        {"client_id": " "},
        {"redirect_uri": "https://localhost/x"},
        {"redirect_uri": "http://books.example/"},
        {"redirect_uri": "books.example"},
        {"redirect_uri": "https://[books.example"},
        {"redirect_uri": "https://books.example:port/"},
        {"destination": "oracle"},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_and_nothing_is_written(
    folder: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, str]
) -> None:
    assert init(**changed) == 2

    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not folder.exists()


def test_a_wrong_value_is_named_before_a_missing_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(without="--client-id", region="mars") == 2

    assert "mars" in capsys.readouterr().err
    assert not folder.exists()


def test_a_broken_file_is_named_and_left_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.mkdir()
    (folder / "secrets.toml").write_text('a = "1"\nb = = "hidden"\n')

    assert init() == 2

    said = capsys.readouterr().err
    assert "secrets.toml, line 2" in said
    assert "hidden" not in said
    assert (folder / "secrets.toml").read_text() == 'a = "1"\nb = = "hidden"\n'


@pytest.mark.nightly
@pytest.mark.parametrize("there", [True, False], ids=["settings folder", "project"])
def test_a_folder_that_may_not_be_written_is_named(folder: Path, there: bool) -> None:
    if there:
        folder.mkdir()
    closed = folder if there else folder.parent
    closed.chmod(0o500)

    result = as_ordinary_user("init", *(part for pair in FLAGS.items() for part in pair))

    closed.chmod(0o700)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert str(folder) in line
    assert "Permission denied" in line
    assert list(folder.parent.rglob("*.toml")) == []


def test_the_secret_may_come_from_standard_input(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("piped-secret\n"))

    assert init(client_secret="-") == 0

    assert read(folder, "secrets")["sources"]["exact_online"]["client_secret"] == "piped-secret"


def test_on_a_terminal_it_asks_logs_in_and_checks(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli()
    box, project = cli.world.box, Path.cwd()
    box.clock.set(time.time())
    box.clock.run()
    # The site and its tokens are all that is not asked for; they come from the environment.
    wanted = ("BASE_URL", "TOKEN_FILE")
    environment = {
        k: v for k, v in os.environ.items() if "EXACT_ONLINE" not in k or k.endswith(wanted)
    } | {"BROWSER": "true"}
    person = pexpect.spawn(
        sys.executable, ["-m", "exact_source", "init"], env=environment, cwd=project, timeout=60,
        dimensions=(24, 200), encoding="utf-8",
    )  # fmt: skip
    person.logfile_read = io.StringIO()
    for question, answer in [
        ("Country .*: ", "nl"),
        ("Client id .*: ", box.client_id),
        ("Client secret: ", f" '{box.client_secret}'"),
        ("Redirect URI.*: ", "http://books.example"),
        ("use https.*Redirect URI.*: ", f'"{box.redirect_uri}" '),
        ("Destination .*: ", ""),
        ("Log in now.*: ", ""),
        ("Paste that address.*:", f"{box.redirect_uri}?state=x"),
        ("authorization code.*Paste that address.*:", "a-code-that-Exact-refuses"),
        ("Paste that address.*:", "CODE"),
        ("Check everything.*: ", "y"),
    ]:
        person.expect(question)
        person.sendline(box.login()["code"] if answer == "CODE" else answer)
    person.expect(pexpect.EOF)
    person.close()
    shown = person.logfile_read.getvalue()

    assert person.exitstatus == 0, shown
    assert box.client_secret not in shown
    assert (
        read(project / ".dlt", "secrets")["sources"]["exact_online"]["client_id"] == box.client_id
    )
    assert "logged in" in shown
    assert "2 open" in shown


def test_with_json_a_login_and_a_check_are_part_of_the_one_document(
    make_cli: Callable[..., Cli], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = make_cli()
    box = cli.world.box
    box.clock.set(time.time())
    box.clock.run()
    code = box.login()["code"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{code}\n"))

    result = cli(
        "init", "--json", "--login", "--check", f"--client-id={box.client_id}",
        f"--client-secret={box.client_secret}", f"--redirect-uri={box.redirect_uri}",
        cli.destination,
    )  # fmt: skip

    assert result.code == 0, result.err
    assert sorted(result.json) == ["check", "destination", "folder", "login", "written"]
    assert {c["state"] for c in result.json["check"]["checks"]} == {"ok", "skipped"}
    assert result.json["login"]["store"]


def test_after_a_login_that_failed_the_next_step_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init("--login", "--no-check") == 2

    first, *_ = [line for line in capsys.readouterr().err.splitlines() if "settings are" in line]
    assert first.endswith(" login")
    assert read(folder, "secrets")


def test_a_project_inside_another_one_is_made_with_a_note(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init("--no-login") == 0
    assert "note:" not in capsys.readouterr().err
    inner = folder.parent / "sub"
    inner.mkdir()
    monkeypatch.setenv("DLT_PROJECT_DIR", str(inner))
    monkeypatch.chdir(inner)

    assert init("--no-login") == 0
    assert f"project in {folder.parent}," in capsys.readouterr().err
    assert init("--no-login") == 0
    assert "note:" not in capsys.readouterr().err


def test_the_destination_is_remembered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init("--destination", f"duckdb:{folder.parent / 'books.db'}") == 0
    assert init("--replace", "--destination", "postgresql://me:pw@127.0.0.1:1/books") == 0
    assert init() == 0
    capsys.readouterr()

    assert read(folder, "config")["sources"]["exact_online"]["destination"] == "postgres"
    assert run(["status"]) == 1
    assert "destination postgres: " in capsys.readouterr().err
    assert run(["status", "--destination", "duckdb"]) == 0
    assert "books.db, schema exact_online" in capsys.readouterr().out


KEY = {"type": "service_account", "project_id": "books", "client_email": "loader@books.example"}


def write_key(file: Path, **more: str) -> Path:
    file.write_text(json.dumps(KEY | {"private_key": "-----BEGIN hush-5ecret\\n"} | more))
    return file


def test_the_key_for_bigquery_becomes_credentials(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("google.cloud.bigquery", reason="the extra bigquery is not installed")
    key = write_key(tmp_path / "key.json")

    assert init("--destination", "bigquery", "--bigquery-key", str(key)) == 0

    held = read(folder, "secrets")["destination"]["bigquery"]["credentials"]
    assert held == {
        "project_id": "books",
        "private_key": "-----BEGIN hush-5ecret\\n",
        "client_email": "loader@books.example",
    }
    assert read(folder, "config")["sources"]["exact_online"]["destination"] == "bigquery"
    other = write_key(tmp_path / "other.json", project_id="other")
    assert init("--destination", "bigquery", "--bigquery-key", str(other)) == 2
    assert init("--replace", "--destination", "bigquery", "--bigquery-key", str(other)) == 0
    assert "hush" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("text", ["{", "[]", '{"project_id": "hush-5ecret"}', None])
def test_what_is_no_key_is_refused_and_not_shown(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    if text is not None:
        (tmp_path / "key.json").write_text(text)

    code = init("--destination", "bigquery", "--bigquery-key", str(tmp_path / "key.json"))

    assert (code, folder.exists()) == (2, False)
    assert "hush" not in "".join(capsys.readouterr())
