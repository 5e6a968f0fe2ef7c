"""Each guard of ``guards.toml`` is taken out in a copy of the tree, and the test that holds it goes red."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mutants import FAILED, PASSED, ROOT, Mutant, copy_tree, run_tests

GUARDS = tomllib.loads((Path(__file__).parent / "guards.toml").read_text("utf-8"))["guard"]
DEFECTS = [*(f"D{number}" for number in range(1, 20)), "18.6"]


def mutant_of(guard: dict[str, str]) -> Mutant:
    return Mutant(guard["file"], guard["old"], guard["new"])


def test_every_defect_has_a_guard_that_stands_in_the_source() -> None:
    assert sorted({guard["defect"] for guard in GUARDS}) == sorted(DEFECTS)
    for guard in GUARDS:
        changed = mutant_of(guard).applied_to((ROOT / guard["file"]).read_text("utf-8"))
        compile(changed, guard["file"], "exec")
        file, _, test = guard["test"].partition("::")
        assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text("utf-8"), guard["test"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = copy_tree(tmp_path_factory.mktemp("guards") / "tree")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.proofs
@pytest.mark.timeout(3600)
def test_with_all_guards_the_tests_pass(tree: Path) -> None:
    """Otherwise a red test would prove nothing."""
    code, printed = run_tests(tree, sorted({guard["test"] for guard in GUARDS}), timeout_s=3500)

    assert code == PASSED, printed


@pytest.mark.proofs
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: f"{guard['defect']} {guard['what']}")
def test_without_a_guard_its_test_goes_red(tree: Path, guard: dict[str, str]) -> None:
    path = tree / guard["file"]
    kept = path.read_text("utf-8")
    mutant_of(guard).apply(tree)
    try:
        code, printed = run_tests(tree, [guard["test"]])
    finally:
        path.write_text(kept, "utf-8")

    assert code == FAILED, printed
    assert "error during collection" not in printed
