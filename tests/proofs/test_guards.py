"""Each guard of ``guards.toml`` is taken out, and the test that holds it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.mutants import (
    FAILED,
    PASSED,
    ROOT,
    Mutant,
    copy_tree,
    outer_environment,
    run_tests,
)

FILE = Path(__file__).parent / "guards.toml"
GUARDS = tomllib.loads(FILE.read_text("utf-8"))["guard"]
DEFECTS = [*(f"D{number}" for number in range(1, 20)), "18.6", "20.3"]
# Their tests start commands, which import what stands in the files.
COMMANDS = [guard for guard in GUARDS if guard.get("starts_commands")]


def mutant_of(guard: dict[str, str]) -> Mutant:
    return Mutant(guard["file"], guard["old"], guard["new"])


def test_every_defect_has_a_guard_that_stands_in_the_source() -> None:
    assert sorted({guard["defect"] for guard in GUARDS}) == sorted(DEFECTS)
    for guard in GUARDS:
        changed = mutant_of(guard).applied_to((ROOT / guard["file"]).read_text("utf-8"))
        compile(changed, guard["file"], "exec")
        file, _, test = guard["test"].partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text("utf-8"), guard["test"]


@pytest.mark.proofs
@pytest.mark.timeout(7200)
def test_without_a_guard_its_test_fails(tmp_path: Path) -> None:
    out = tmp_path / "guards.jsonl"
    files = sorted({guard["test"].partition("::")[0] for guard in GUARDS})
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "",
        "-p",
        "tests.support.mutants_run",
        *files,
    ]
    environment = outer_environment() | {"EXACT_GUARDS": str(FILE), "EXACT_MUTANTS_OUT": str(out)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)

    tried = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(tried) == len(GUARDS) - len(COMMANDS)
    assert [one for one in tried if one["outcome"] != "killed"] == []


@pytest.mark.proofs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("guard", COMMANDS, ids=lambda guard: guard["what"])
def test_without_a_guard_a_command_fails(tmp_path: Path, guard: dict[str, str]) -> None:
    tree = copy_tree(tmp_path / "tree")
    code, printed = run_tests(tree, [guard["test"]])
    assert code == PASSED, printed

    mutant_of(guard).apply(tree)
    code, printed = run_tests(tree, [guard["test"]])
    assert code == FAILED, printed
