"""Imports point one way, and what is arithmetic does no I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import exact_source

ROOT = Path(exact_source.__file__).parent
# From what knows nothing to what knows all: a module imports only what stands in front of it.
ORDER = [
    "errors", "clock", "odata", "limits", "planning", "cursors", "columns", "misfits", "envelope", "entities",
    "feeds", "page_schema", "pages", "rows", "shape", "client", "listing", "metadata", "dropping",
    "tombstones", "stored", "first_load", "settings", "destination", "database", "leases",
    "refusals", "run", "telemetry", "removals", "reconcile", "start_versions",
    "chain", "streams", "history", "tables",
    "states", "outcomes", "once", "resources", "source", "alone", "sync",
]  # fmt: skip
PURE = [
    "odata", "limits", "planning", "cursors", "columns", "misfits", "envelope", "feeds",
    "page_schema", "pages", "errors", "rows", "shape",
]  # fmt: skip
EFFECTS = {
    "httpx", "dlt", "os", "time", "asyncio", "socket", "threading", "subprocess", "random",
    "pathlib", "io", "tempfile", "requests", "duckdb", "sqlalchemy", "logging",
}  # fmt: skip


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in ROOT.rglob("*.py")}


def imports(module: str) -> Iterator[str]:
    """What a module imports when it is imported: ``..errors`` as ``.errors``, others by their name."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in top_level(ast.parse(path.read_text()).body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif node.level == 0:
            yield node.module or ""
        else:
            base = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            home = ".".join(part for part in base if part)
            for alias in node.names:
                found = f"{home}.{alias.name}" if home else alias.name
                yield f".{found if found in MODULES else home}"


def top_level(nodes: list[ast.stmt]) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.Try):
            yield from top_level(node.body)


def test_no_module_imports_itself_through_others() -> None:
    graph = {m: {i[1:] for i in imports(m) if i.startswith(".") and i[1:]} - {m} for m in MODULES}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"imports go round: {' <- '.join(error.args[1])}")


@pytest.mark.parametrize("module", ORDER)
def test_a_module_imports_only_what_stands_in_front_of_it(module: str) -> None:
    own = {i[1:].split(".")[0] for i in imports(module) if i.startswith(".")} - {"", module}
    behind = set(ORDER[ORDER.index(module) :])
    assert not own & behind, f"{module} stands in front of these; see ORDER"


@pytest.mark.parametrize("module", PURE)
def test_arithmetic_does_no_io(module: str) -> None:
    found = set(imports(module))
    assert not {name.split(".")[0] for name in found} & EFFECTS
    own = {name[1:].split(".")[0] for name in found if name.startswith(".")} - {""}
    assert own <= {*PURE, "entities"}, "the catalogue is data; all else must be arithmetic, too"


def test_http_is_spoken_in_few_places() -> None:
    speakers = {
        m.split(".")[0] for m in MODULES if any(i.split(".")[0] == "httpx" for i in imports(m))
    }
    assert speakers <= {"client", "auth", "asking"}


def test_the_sandbox_knows_nothing_of_the_client() -> None:
    own = {i for m in MODULES if m.split(".")[0] == "sandbox" for i in imports(m) if i[:1] == "."}
    assert {name for name in own if not name.startswith(".sandbox")} <= {"."}
