from __future__ import annotations

import ast
from pathlib import Path

import pytest

import exact_source.sandbox

FOLDER = Path(exact_source.sandbox.__file__).parent
FILES = sorted(FOLDER.rglob("*.py"))


def imported(file: Path) -> set[str]:
    """The modules that a file imports, with their full names."""
    package = ["exact_source", "sandbox", *file.relative_to(FOLDER).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            found.add(".".join([*above, *filter(None, [node.module])]))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_sandbox_knows_nothing_of_the_client(file: Path) -> None:
    own = {name for name in imported(file) if name.startswith("exact_source")}
    assert all(name.startswith("exact_source.sandbox") for name in own)
    assert not {name.split(".")[0] for name in imported(file)} & {
        "httpx",
        "dlt",
        "pyarrow",
        "typer",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(FOLDER)))
def test_one_file_one_subject(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 350
