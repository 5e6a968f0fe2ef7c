"""Imports point one way, and what is arithmetic does no I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import exact_source

ROOT = Path(exact_source.__file__).parent
# From what knows nothing to what knows all: a room imports only what stands in front of it.
ROOMS = [
    "errors", "clock", "tls", "entities", "protocol", "pages", "api", "settings", "database",
    "lease_table", "leases",
    "destination", "streams", "telemetry", "source", "garbage", "alone", "sync", "asking", "orchestration",
]  # fmt: skip
# The same within a room.
ORDER = {
    "protocol": ["odata", "limits", "cursors", "feeds", "planning"],
    "pages": ["columns", "misfits", "envelope", "schema", "parsed", "fast", "page", "rows", "shape"],
    "api": [
        "answers", "target", "transport", "client", "listing", "metadata", "dropping", "tombstones",
        "refusals", "start_versions", "counting",
    ],
    "destination": [
        "names", "jobs", "memory", "stored", "first_load", "tables", "history", "comments", "indexes",
    ],
    "streams": [
        "options", "result", "rounds", "keyless", "selection", "connection", "divisions", "tombstones",
        "start_versions", "news", "run", "removals", "reconcile", "reading", "chain", "stream", "functions",
        "states", "outcomes", "once", "batches", "resources",
    ],
    "cli.check": ["findings", "machine", "exact_online", "destination", "command"],
    "cli.init": ["toml_files", "questions", "destination", "settings", "command"],
    "cli.plan": ["planner", "estimate", "report", "command"],
}  # fmt: skip
# The parameters of the catalogue are checked as they are spelled in a query; its page shows the feeds.
BETWEEN = {"entities.parameters": {"protocol.odata"}, "entities.document": {"protocol.feeds"}}
PURE = ["errors", *(f"{room}.{name}" for room in ("protocol", "pages") for name in ORDER[room])]
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


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_stands_in_front_of_it(room: str) -> None:
    mine = {m: own(m) for m in MODULES if m.split(".")[0] == room}
    behind = {*ROOMS[ROOMS.index(room) + 1 :], "cli"}
    for module, names in mine.items():
        wrong = {n for n in names - BETWEEN.get(module, set()) if n.split(".")[0] in behind}
        assert not wrong, f"{module} stands in front of these; see ROOMS"


@pytest.mark.parametrize("room", ORDER)
def test_a_module_imports_only_what_stands_in_front_of_it_in_its_room(room: str) -> None:
    inside = f"{room}."
    assert {m.removeprefix(inside) for m in MODULES if m.startswith(inside)} == set(ORDER[room])
    for place, name in enumerate(ORDER[room]):
        behind = {f"{room}.{n}" for n in ORDER[room][place:]}
        assert not own(f"{room}.{name}") & behind, f"{room}.{name}: see ORDER"


@pytest.mark.parametrize("command", ["cli.check", "cli.plan"])
def test_what_finds_out_shows_nothing(command: str) -> None:
    for name in ORDER[command][:-1]:
        shown = {i.split(".")[0] for i in imports(f"{command}.{name}")} & {"typer", "rich"}
        assert not shown | own(f"{command}.{name}") & {"cli.display", "cli.logs"}


def own(module: str) -> set[str]:
    """The modules of the project that a module imports."""
    return {i[1:] for i in imports(module) if i.startswith(".")} - {"", module}


@pytest.mark.parametrize("module", PURE)
def test_arithmetic_does_no_io(module: str) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & EFFECTS
    assert {n for n in own(module) if n.split(".")[0] != "entities"} <= {*PURE}, (
        "the catalogue is data; all else must be arithmetic, too"
    )


def test_http_is_spoken_in_few_places() -> None:
    speakers = {m for m in MODULES if any(i.split(".")[0] == "httpx" for i in imports(m))}
    assert {m for m in speakers if not m.startswith("auth.")} <= {
        "tls",
        "api.transport",
        "api.client",
    }


def test_the_sandbox_knows_nothing_of_the_client() -> None:
    mine = {i for m in MODULES if m.split(".")[0] == "sandbox" for i in imports(m) if i[:1] == "."}
    assert {name for name in mine if not name.startswith(".sandbox")} <= {"."}
