"""Tries made mutants: each in a copy of the tree, with the tests that reach the changed statement.

    EXACT_REACH=FOLDER python -m pytest -p tests.support.mutants_reach tests/unit tests/engine ...
    python -m tests.support.mutants_run --reach FOLDER --count 320 --seed 1 --out results.jsonl

The first command records which tests run which lines. The second forks for each mutant a process in which
dlt and the other packages are imported already; importing them takes longer than most tests do.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import coverage

from tests.support.mutants import ROOT, copy_tree
from tests.support.mutants_made import Made, sample

PACKAGES = ("auth", "engine", "loading")
LONGEST_TEST_S = 60.0  # slower tests are left out
TESTS, TESTS_S = 120, 90.0  # most tests for a mutant, and most seconds that they took without it
HEAVY = (
    "duckdb", "dlt", "dlt.destinations", "dlt.pipeline.pipeline", "hypothesis", "hypothesis.stateful",
    "pyarrow.compute", "pyarrow.parquet", "httpx", "aiohttp", "starlette.applications", "uvicorn",
    "sqlalchemy", "pendulum", "cryptography.fernet", "typer", "rich.console", "psycopg2", "numpy",
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
    def read(cls, folder: Path, root: Path = ROOT) -> Reach:
        """What the plugin ``mutants_reach`` recorded."""
        lines: dict[str, dict[int, set[str]]] = {}
        seconds: dict[str, float] = {}
        for path in folder.glob("lines.*"):
            data = coverage.CoverageData(str(path))
            data.read()
            for file in data.measured_files():
                found = lines.setdefault(Path(file).relative_to(root).as_posix(), {})
                for line, contexts in data.contexts_by_lineno(file).items():
                    found.setdefault(line, set()).update(filter(None, contexts))
        for path in folder.glob("seconds.*.json"):
            seconds |= json.loads(path.read_text("utf-8"))
        return cls(lines, seconds)

    def tests_of(self, made: Made, *, everything: bool = False) -> list[str]:
        """The tests that run the changed statement, the quickest first.

        What runs at the import of its module has no test of its own; then it is all tests of the module.
        """
        found = self.lines.get(made.file, {})
        tests = set().union(*(found.get(n, set()) for n in range(made.first, made.last + 1)))
        tests = tests or (
            set() if made.function and "." in made.function else set().union(*found.values())
        )
        known = {test: self.seconds[test] for test in tests if test in self.seconds}
        quick = sorted((s, test) for test, s in known.items() if s < LONGEST_TEST_S)
        if everything:
            return [test for _, test in quick]
        total, chosen = 0.0, []
        for seconds, test in quick[:TESTS]:
            total += seconds
            if total > TESTS_S and chosen:
                break
            chosen.append(test)
        return chosen


class Bench:
    """A copy of the tree in which one mutant after the other is tried."""

    def __init__(self, root: Path) -> None:
        self.root = copy_tree(root)

    def survives(self, made: Made, tests: Sequence[str], limit_s: float) -> tuple[str, str]:
        """``killed``, ``survived`` or ``unreached``, and the last lines of what pytest printed."""
        if not tests:
            return "unreached", ""
        path = self.root / made.file
        kept = path.read_text("utf-8")
        path.write_text(made.applied_to(kept), "utf-8")
        try:
            code, printed = self._run(tests, limit_s)
        finally:
            path.write_text(kept, "utf-8")
        return ("survived" if code == 0 else "killed"), printed

    def _run(self, tests: Sequence[str], limit_s: float) -> tuple[int, str]:
        output = self.root / "output.txt"
        child = os.fork()
        if not child:
            self._be_pytest(tests, output)
        give_up_at = time.monotonic() + limit_s
        while time.monotonic() < give_up_at:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                lines = output.read_text("utf-8", "replace").splitlines()
                return os.waitstatus_to_exitcode(status), "\n".join(lines[-4:])
            time.sleep(0.02)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return 1, "not done in time"

    def _be_pytest(self, tests: Sequence[str], output: Path) -> None:
        """Become the process that runs the tests, and end."""
        code = 99
        try:
            os.setsid()
            sink = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(sink, 1)
            os.dup2(sink, 2)
            os.chdir(self.root)
            os.environ["PYTHONPATH"] = str(self.root)
            sys.path.insert(0, str(self.root))
            sys.dont_write_bytecode = True
            for name in [n for n in sys.modules if n.split(".")[0] in {"tests", "exact_source"}]:
                del sys.modules[name]
            import pytest

            options = [
                "-q",
                "-x",
                "-m",
                "",
                "-p",
                "no:cacheprovider",
                "--timeout=120",
                "--rootdir=.",
            ]
            code = int(pytest.main([*options, *tests]))
        finally:
            sys.stdout.flush()
            os._exit(code)


def import_heavy() -> None:
    """Import what every process would, as ``conftest.py`` would have it."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["RUNTIME__LOG_LEVEL"] = "CRITICAL"
    for name in HEAVY:
        __import__(name)


def run(
    reach: Reach, mutants: Sequence[Made], root: Path, *, thorough: bool
) -> Iterator[tuple[Made, str, int, str]]:
    """Mutant, outcome, number of tests, and what pytest said last."""
    bench = Bench(root)
    for made in mutants:
        tests = reach.tests_of(made, everything=thorough)
        took_s = sum(reach.seconds[test] for test in tests)
        outcome, printed = bench.survives(made, tests, 240 + 6 * took_s)
        yield made, outcome, len(tests), printed


def main() -> None:
    """Try mutants and write a line of JSON for each."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--reach", type=Path, required=True)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--count", type=int, default=320)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--shard", default="0/1", help="NUMBER/OF_HOW_MANY")
    asked.add_argument(
        "--only", type=Path, help="file of names, one a line; with all tests that reach them"
    )
    given = asked.parse_args()
    number, shards = map(int, given.shard.split("/"))
    mutants = sample(ROOT, PACKAGES, given.count, given.seed)
    if given.only:
        names = set(given.only.read_text("utf-8").splitlines())
        mutants = [made for made in mutants if made.name in names]
    import_heavy()
    with tempfile.TemporaryDirectory() as folder, given.out.open("a") as out:
        ended = run(
            Reach.read(given.reach), mutants[number::shards], Path(folder) / "tree",
            thorough=given.only is not None,
        )  # fmt: skip
        for made, outcome, tests, printed in ended:
            line = {"name": made.name, "outcome": outcome, "tests": tests, "printed": printed}
            out.write(json.dumps(line) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
