"""Stands in for what Delta and Iceberg need, which is not installed everywhere."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest


def with_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages of both formats, empty."""
    for package in ("deltalake", "pyiceberg"):
        stand_in = ModuleType(package)
        stand_in.__spec__ = ModuleSpec(package, None)
        monkeypatch.setitem(sys.modules, package, stand_in)


def without_extensions(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Both packages, and a home folder into which DuckDB can download no extension."""
    with_packages(monkeypatch)
    no_folder = folder / "no-home"
    no_folder.write_text("a file")
    monkeypatch.setenv("HOME", str(no_folder))
