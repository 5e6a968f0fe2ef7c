"""Messages name a command that works for the way in which the package was installed."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace
from typing import Any

import pytest

from exact_source import extras

CLONE = {"url": "file:///srv/my%20clone", "dir_info": {"editable": True}}
FOLDER = {"url": "file:///srv/clone", "dir_info": {}}
GIT = {"url": "https://git.example/x", "vcs_info": {"vcs": "git", "commit_id": "0"}}


@pytest.mark.parametrize(
    ("prefix", "has_pip", "origin", "command"),
    [
        ("/srv/.venv", True, None, 'pip install "exact-source[report]"'),
        ("/srv/.venv", False, None, 'uv pip install "exact-source[report]"'),
        ("/srv/.venv", True, CLONE, 'pip install -e "/srv/my clone[report]"'),
        ("/srv/.venv", True, FOLDER, 'pip install "exact-source[report] @ file:///srv/clone"'),
        ("/srv/.venv", True, GIT, 'pip install "exact-source[report] @ git+https://git.example/x"'),
        (
            "/root/.local/share/pipx/venvs/exact-source",
            False,
            None,
            'pipx inject exact-source "exact-source[report]"',
        ),
        (
            "/root/.local/share/uv/tools/exact-source",
            False,
            None,
            'uv tool install "exact-source[report]"',
        ),
    ],
)
def test_an_extra_is_installed_as_the_package_was(
    prefix: str, has_pip: bool, origin: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_as(monkeypatch, prefix, has_pip=has_pip, origin=origin)

    assert extras.install_command("report") == command


PIPX, UV = "/root/.local/share/pipx/venvs/exact-source", "/root/.local/share/uv/tools/exact-source"


@pytest.mark.parametrize(
    ("prefix", "has_pip", "origin", "command"),
    [
        ("/srv/.venv", True, CLONE, 'pip install "dlt[clickhouse]"'),
        ("/srv/.venv", False, None, 'uv pip install "dlt[clickhouse]"'),
        (PIPX, False, None, 'pipx inject exact-source "dlt[clickhouse]"'),
        (UV, False, None, 'uv tool install --with "dlt[clickhouse]" "exact-source"'),
        (UV, False, CLONE, 'uv tool install --with "dlt[clickhouse]" -e "/srv/my clone"'),
    ],
)
def test_a_driver_is_installed_beside_the_package(
    prefix: str, has_pip: bool, origin: Any, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_as(monkeypatch, prefix, has_pip=has_pip, origin=origin)

    assert extras.driver_command("clickhouse") == command


def install_as(monkeypatch: pytest.MonkeyPatch, prefix: str, *, has_pip: bool, origin: Any) -> None:
    """Pretend that the package was installed in this way."""
    noted = None if origin is None else json.dumps(origin)
    monkeypatch.setattr("sys.prefix", prefix)
    monkeypatch.setattr(extras, "find_spec", lambda _name: has_pip or None)
    monkeypatch.setattr(
        extras, "distribution", lambda _name: SimpleNamespace(read_text=lambda _file: noted)
    )


def test_a_copy_that_is_not_installed_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", missing)
    monkeypatch.setattr("sys.prefix", "/srv/.venv")

    assert extras.install_command("report").endswith('install "exact-source[report]"')
