"""Tries generated mutants: a pytest plugin (``-p tests.support.mutants_run``) that runs tests for each.

After pytest has collected the tests, the plugin forks for each mutant. The fork replaces the code of the
mutant's function and runs the tests that reach the changed lines, fastest first, until one fails. So a mutant
costs neither an import nor a collection. Environment:

    EXACT_REACH         folder written by ``mutants_reach`` for the same source; without it each mutant is
                        tried with all collected tests
    EXACT_MUTANTS       number of mutants of each package, such as "auth=10 engine=20"
    EXACT_MUTANTS_SEED  seed of the sample, default 1
    EXACT_MUTANTS_SHARD part of the sample, such as 0/2
    EXACT_MUTANTS_NAMED a file with names of mutants, one a line, to try instead of a sample
    EXACT_MUTANTS_OUT   file to which a line of JSON is appended for each
    EXACT_GUARDS        a file of guards to try instead of generated mutants
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
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest

from tests.support.mutants import ROOT, Mutant
from tests.support.mutants_made import Made, mutants_of, sample

COUNTS = {"auth": 101, "engine": 211, "loading": 62}  # mutants of each package in a sample
EXPLAINED = ROOT / "tests" / "proofs" / "survivors.toml"
GUARD_S = 300.0  # limit for the test of a guard
TESTS_S = 60.0  # most seconds that the tests of a mutant take without it
SURVIVED, KILLED, NOT_TRIED = 0, 1, 3  # exit codes of a fork
# dlt imports these modules on first use.
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
        """Read the records of ``mutants_reach`` in a folder and its subfolders."""
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
        """The tests that run the changed statement.

        Tests of single modules come before those of whole syncs, one case of each test before its others,
        and fast ones before slow ones.

        A statement that runs at import has no test of its own; then all tests of the module are used.
        """
        found = self.lines.get(made.file, {})
        lines = range(made.first, made.last + 1) if made.function else list(found)
        tests = set().union(*(found.get(line, set()) for line in lines))
        # A failed test has an infinite duration.
        timed = sorted((self.seconds.get(test, float("inf")), test) for test in tests)
        turns: Counter[str] = Counter()
        ordered = []
        for seconds, test in timed:
            function = test.partition("[")[0]
            is_wide = not test.startswith("tests/unit/")
            ordered.append((is_wide, turns[function], seconds, test))
            turns[function] += 1
        total = 0.0
        chosen: list[str] = []
        for *_, seconds, test in sorted(ordered):
            total += seconds
            if total == float("inf") or (total > TESTS_S and chosen):
                break
            chosen.append(test)
        return chosen


def put_in(file: str, changed: str) -> bool:
    """Change this process as if a module had another text.

    Functions get their new code wherever they are imported; constants are replaced in every module of
    the package that has imported them.

    Args:
        file: Path of the module below the root.
        changed: Its new text.

    Returns:
        Whether this is possible without a new import.
    """
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    path = ROOT / file
    before = _functions_in(compile(path.read_text("utf-8"), path, "exec", dont_inherit=True))
    program = compile(changed, path, "exec", dont_inherit=True)
    differing = [
        (name, code) for name, code in _functions_in(program).items() if code != before.get(name)
    ]
    found = [(_function_at(module, name), code) for name, code in differing]
    if any(f is None or f.__code__.co_freevars != code.co_freevars for f, code in found):
        return False
    for function, code in found:
        assert function is not None
        function.__code__ = code
    return bool(found) or _put_constants(module, program)


def _functions_in(code: CodeType) -> dict[str, CodeType]:
    """Code of the functions and methods of a module, by qualified name."""
    found: dict[str, CodeType] = {}
    for part in code.co_consts:
        if isinstance(part, CodeType) and part.co_flags & inspect.CO_NEWLOCALS:
            found[part.co_qualname] = part
        elif isinstance(part, CodeType):  # the body of a class
            found |= _functions_in(part)
    return found


def _function_at(module: Any, name: str) -> FunctionType | None:
    """The function inside a method, property or decorator."""
    place: Any = module
    for part in name.split("."):
        place = vars(place).get(part)
    if hasattr(place, "cache_clear"):
        place.cache_clear()
    if isinstance(place, property):
        place = place.fget
    elif isinstance(place, cached_property):
        place = place.func
    elif isinstance(place, classmethod | staticmethod):
        place = place.__func__
    place = inspect.unwrap(place) if callable(place) else place
    return place if isinstance(place, FunctionType) else None


def _put_constants(module: Any, program: CodeType) -> bool:
    fresh = {**vars(module)}
    exec(program, fresh)
    changed = [name for name, value in vars(module).items() if repr(value) != repr(fresh[name])]
    # Classes and functions are equal in both texts and are not changed.
    changed = [name for name in changed if not callable(fresh[name]) and not name.startswith("__")]
    for name in changed:
        before = vars(module)[name]
        for other in [m for n, m in sys.modules.items() if n.startswith("exact_source")]:
            if vars(other).get(name) is before:
                setattr(other, name, fresh[name])
    return bool(changed)


class Forks:
    """Tries changes of modules in forks of a process that has collected the tests."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self.items = {item.nodeid: item for item in session.items}
        self._temp: Path = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        for name in HEAVY:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()

    def outcome(
        self, file: str, changed: str | None, tests: Sequence[str], limit_s: float
    ) -> tuple[str, str]:
        """The outcome of a change, and the test that detected it.

        Args:
            file: Path of a module below the root.
            changed: Its new text; ``None`` for no change.
            tests: Ids of the tests to run, until one fails.
            limit_s: Seconds after which the change counts as detected.
        """
        note = self._temp / "noticed"
        note.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            self._be_changed(file, changed, tests, note)
        code = wait_for(child, limit_s)
        by = note.read_text("utf-8") if note.exists() else ""
        for left in self._temp.glob("test_*"):
            shutil.rmtree(left, ignore_errors=True)
        outcomes = {SURVIVED: "survived", NOT_TRIED: "not tried"}
        return ("killed", "time") if code is None else (outcomes.get(code, "killed"), by)

    def _be_changed(self, file: str, changed: str | None, tests: Sequence[str], note: Path) -> None:
        """Run the tests in this process, and exit."""
        code = NOT_TRIED
        try:
            os.setsid()
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            if changed is not None and not put_in(file, changed):
                return
            code = KILLED
            items = [self.items[test] for test in tests]
            for item, following in zip(items, [*items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self._session.testsfailed:
                    note.write_text(item.nodeid, "utf-8")
                    self._session._setupstate.teardown_exact(None)  # or servers keep running
                    return
            code = SURVIVED
        finally:
            os._exit(code)


class Log:
    """A file with a line of JSON for each tried change; a second run continues it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        self.done = {json.loads(line)["name"] for line in lines}

    def add(self, name: str, outcome: str, tests: int, by: str) -> None:
        """Write a line."""
        line = {"name": name, "outcome": outcome, "tests": tests, "by": by}
        with self._path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def try_mutants(forks: Forks, log: Log) -> None:
    """Try the mutants of a sample or of a list, each with the tests that reach it."""
    get = os.environ.get
    number, shards = map(int, get("EXACT_MUTANTS_SHARD", "0/1").split("/"))
    folder = get("EXACT_REACH")
    reach = Reach.read(Path(folder)) if folder else Reach({}, dict.fromkeys(forks.items, 10.0))
    for made in chosen_mutants()[number::shards]:
        if made.name in log.done:
            continue
        reached = reach.tests_of(made) if folder else forks.items
        tests = [test for test in reached if test in forks.items]
        limit_s = 120 + 8 * sum(reach.seconds[test] for test in tests)
        changed = made.applied_to((ROOT / made.file).read_text("utf-8"))
        found = forks.outcome(made.file, changed, tests, limit_s) if tests else ("unreached", "")
        log.add(made.name, found[0], len(tests), found[1])


def chosen_mutants() -> list[Made]:
    """The mutants of a sample that ``EXPLAINED`` does not name, or those that a file names."""
    get = os.environ.get
    if named := get("EXACT_MUTANTS_NAMED"):
        names = {line.strip() for line in Path(named).read_text("utf-8").splitlines()}
        return [made for made in mutants_of(ROOT, COUNTS) if made.name in names]
    explained = tomllib.loads(EXPLAINED.read_text("utf-8")).get("survivor", [])
    known = {one["name"] for one in explained}
    wanted = get("EXACT_MUTANTS")
    counts = dict(part.split("=") for part in wanted.split()) if wanted else COUNTS
    seed = int(get("EXACT_MUTANTS_SEED", "1"))
    made = (m for name, count in counts.items() for m in sample(ROOT, name, int(count), seed))
    return [mutant for mutant in made if mutant.name not in known]


def try_guards(forks: Forks, log: Log, path: Path) -> None:
    """Remove each guard of a file, and run its test with and without the guard."""
    for guard in tomllib.loads(path.read_text("utf-8"))["guard"]:
        name = f"{guard['defect']} {guard['what']}"
        if name in log.done or guard.get("starts_commands"):
            continue
        tests = [item for item in forks.items if item.partition("[")[0] == guard["test"]]
        tests = [guard["test"]] if guard["test"] in forks.items else tests
        mutant = Mutant(guard["file"], guard["old"], guard["new"])
        changed = mutant.applied_to((ROOT / guard["file"]).read_text("utf-8"))
        with_it = forks.outcome(guard["file"], None, tests, GUARD_S)[0] if tests else "no test"
        without, by = forks.outcome(guard["file"], changed, tests, GUARD_S)
        log.add(name, without if with_it == "survived" else f"{with_it} with it", len(tests), by)


def wait_for(child: int, limit_s: float) -> int | None:
    """The exit code of a process; ``None`` if it had to be killed."""
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
    """Try changes instead of running the tests."""
    log = Log(Path(os.environ["EXACT_MUTANTS_OUT"]))
    guards = os.environ.get("EXACT_GUARDS")
    if guards:
        try_guards(Forks(session), log, Path(guards))
    else:
        try_mutants(Forks(session), log)
    return True
