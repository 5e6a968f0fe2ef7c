"""Tries made mutants: a plugin of pytest (``-p tests.support.mutants_run``) that runs tests once for each.

After pytest has collected the tests, it forks for each mutant. In the fork the mutant's function gets its
changed code, and the tests that reach the changed lines run, the quickest first, until one fails. So a mutant
costs neither an import nor a collection. Environment:

    EXACT_REACH         folder that ``mutants_reach`` wrote to; it must be of the same source
    EXACT_MUTANTS       how many, default 320
    EXACT_MUTANTS_SEED  which ones, default 1
    EXACT_MUTANTS_SHARD which part of them, such as 0/2
    EXACT_MUTANTS_OUT   file to which a line of JSON is added for each
"""

from __future__ import annotations

import gc
import importlib
import inspect
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest

from tests.support.mutants import ROOT
from tests.support.mutants_made import Made, sample

PACKAGES = ("auth", "engine", "loading")
TESTS, TESTS_S = 80, 60.0  # most tests for a mutant, and most seconds that they took without it
SURVIVED, KILLED, NOT_TRIED = 0, 1, 3  # exit codes of a fork
# dlt imports them at their first use.
HEAVY = (
    "dlt.destinations.impl.duckdb.duck", "dlt.pipeline.pipeline", "dlt.extract.extract",
    "dlt.normalize.normalize", "dlt.load.load", "pyarrow.parquet", "pyarrow.compute", "sqlalchemy",
    "exact_source.sync.runner", "exact_source.sandbox.server",
)  # fmt: skip


@dataclass(frozen=True)
class Reach:
    """Which tests run which lines, and how long each takes.

    Attributes:
        lines: File below the root -> line -> ids of tests.
        seconds: Id of a test -> seconds.
    """

    lines: dict[str, dict[int, set[str]]]
    seconds: dict[str, float]

    @classmethod
    def read(cls, folder: Path) -> Reach:
        """What ``mutants_reach`` recorded in a folder or in folders below."""
        lines: dict[str, dict[int, set[str]]] = {}
        seconds: dict[str, float] = {}
        for path in folder.rglob("lines.*"):
            data = coverage.CoverageData(str(path))
            data.read()
            for file in data.measured_files():
                name = "exact_source/" + file.rpartition("/exact_source/")[2]
                found = lines.setdefault(name, {})
                for line, contexts in data.contexts_by_lineno(file).items():
                    found.setdefault(line, set()).update(filter(None, contexts))
        for path in folder.rglob("seconds.*.json"):
            seconds |= json.loads(path.read_text("utf-8"))
        return cls(lines, seconds)

    def tests_of(self, made: Made) -> list[str]:
        """The tests that run the changed statement, the quickest first.

        What runs at the import of its module has no test of its own; then it is all tests of the module.
        """
        found = self.lines.get(made.file, {})
        lines = range(made.first, made.last + 1) if made.function else list(found)
        tests = set().union(*(found.get(line, set()) for line in lines))
        # A test that failed took for ever.
        timed = sorted((self.seconds.get(test, float("inf")), test) for test in tests)
        total = 0.0
        chosen: list[str] = []
        for seconds, test in timed[:TESTS]:
            total += seconds
            if total == float("inf") or (total > TESTS_S and chosen):
                break
            chosen.append(test)
        return chosen


def put_in(made: Made) -> bool:
    """Change this process as the mutant says; ``False`` if that is not possible without a new import."""
    module = importlib.import_module(made.file.removesuffix(".py").replace("/", "."))
    text = (ROOT / made.file).read_text("utf-8")
    changed = compile(made.applied_to(text), str(ROOT / made.file), "exec", dont_inherit=True)
    if not made.function:
        return _put_constants(module, made, text)
    place: Any = module
    for name in made.function.split("."):
        place = vars(place).get(name)
        function = _function_of(place)
        if function is not None:
            found = _code_of(
                changed, function.__code__.co_qualname, function.__code__.co_firstlineno
            )
            if found is None or found.co_freevars != function.__code__.co_freevars:
                return False
            function.__code__ = found
            if hasattr(place, "cache_clear"):
                place.cache_clear()
            return True
        if place is None:
            return False
    return False


def _function_of(place: Any) -> FunctionType | None:
    """The function behind a method, a property or a decorator."""
    if isinstance(place, property):
        place = place.fget
    elif isinstance(place, cached_property):
        place = place.func
    elif isinstance(place, classmethod | staticmethod):
        place = place.__func__
    place = inspect.unwrap(place) if callable(place) else place
    return place if isinstance(place, FunctionType) else None


def _code_of(code: CodeType, name: str, line: int) -> CodeType | None:
    for part in code.co_consts:
        if isinstance(part, CodeType):
            if part.co_qualname == name and part.co_firstlineno == line:
                return part
            if found := _code_of(part, name, line):
                return found
    return None


def _put_constants(module: Any, made: Made, text: str) -> bool:
    """Replace a constant in all modules that have imported it."""
    name, _, _ = made.line.partition("=")
    name = name.partition(":")[0].strip()
    if not name.isidentifier() or name not in vars(module):
        return False
    line = text[made.start : made.start + len(made.old)]
    assert line == made.old
    statement = made.line.partition("=")[2].partition("#")[0].replace(made.old, made.new, 1)
    before, after = vars(module)[name], eval(statement, dict(vars(module)))
    for other in [m for n, m in sys.modules.items() if n.startswith("exact_source")]:
        if vars(other).get(name) is before or vars(other).get(name) == before:
            setattr(other, name, after)
    return True


class Campaign:
    """One run over a sample of mutants."""

    def __init__(self, session: pytest.Session) -> None:
        get = os.environ.get
        number, shards = map(int, get("EXACT_MUTANTS_SHARD", "0/1").split("/"))
        made = sample(
            ROOT, PACKAGES, int(get("EXACT_MUTANTS", "320")), int(get("EXACT_MUTANTS_SEED", "1"))
        )
        self._mutants = made[number::shards]
        self._out = Path(os.environ["EXACT_MUTANTS_OUT"])
        self._reach = Reach.read(Path(os.environ["EXACT_REACH"]))
        self._session = session
        self._items = {item.nodeid: item for item in session.items}
        self._temp: Path = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]

    def run(self) -> None:
        """Try each mutant, and write down what became of it."""
        done = self._done()
        for name in HEAVY:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()
        for made in self._mutants:
            if made.name in done:
                continue
            tests = [t for t in self._reach.tests_of(made) if t in self._items]
            outcome, by = self._try(made, tests) if tests else ("unreached", "")
            line = {"name": made.name, "outcome": outcome, "tests": len(tests), "by": by}
            with self._out.open("a") as out:
                out.write(json.dumps(line) + "\n")

    def _done(self) -> set[str]:
        if not self._out.exists():
            return set()
        return {json.loads(line)["name"] for line in self._out.read_text("utf-8").splitlines()}

    def _try(self, made: Made, tests: Sequence[str]) -> tuple[str, str]:
        """What became of a mutant, and the test that noticed."""
        note = self._temp / "noticed"
        note.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            self._be_mutant(made, tests, note)
        limit_s = 120 + 8 * sum(self._reach.seconds[test] for test in tests)
        code = wait_for(child, limit_s)
        by = note.read_text("utf-8") if note.exists() else ""
        for left in self._temp.glob("test_*"):
            shutil.rmtree(left, ignore_errors=True)
        outcomes = {SURVIVED: "survived", NOT_TRIED: "not tried"}
        return ("killed", "time") if code is None else (outcomes.get(code, "killed"), by)

    def _be_mutant(self, made: Made, tests: Sequence[str], note: Path) -> None:
        """Become the process that runs the tests, and end."""
        code = NOT_TRIED
        try:
            os.setsid()
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            if not put_in(made):
                return
            code = KILLED
            items = [self._items[test] for test in tests]
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self._session.testsfailed:
                    note.write_text(item.nodeid, "utf-8")
                    return
            code = SURVIVED
        finally:
            os._exit(code)


def wait_for(child: int, limit_s: float) -> int | None:
    """The exit code of a process; ``None`` if it had to be ended."""
    give_up_at = time.monotonic() + limit_s
    while time.monotonic() < give_up_at:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Run the campaign in the place of the tests."""
    Campaign(session).run()
    return True
