"""Whatever happens to a company and to those who load it: a sync that ends well holds the truth.

Sequences of changes, faults, stopped and failed loads are made up by hypothesis, which shortens a
failing one and prints it as a script. The core runs against the sandbox without sockets and without
dlt (``tests/support/bench.py``); through dlt into databases, and with processes that are killed, they run in
``test_convergence_dlt.py``. Which mistakes they find is held by ``test_convergence_mutants.py``.

EXACT_CONVERGENCE_SEQUENCES sets how many sequences there are, EXACT_CONVERGENCE_SEED which ones. A tenth
of them runs against the second server (``test_convergence_independent.py``).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.support.bench import SIZES, TWINS
from tests.support.classes_met import Record, report_classes
from tests.support.company_machine import CLASSES, HOUR_S, Company

SEQUENCES = int(os.environ.get("EXACT_CONVERGENCE_SEQUENCES", "40"))
FIRST_SEED = int(os.environ.get("EXACT_CONVERGENCE_SEED", "0"))
IS_NIGHT = SEQUENCES >= 20_000  # then each class occurs
SHARD = 125  # sequences
SHARDS = max(1, (SEQUENCES - SEQUENCES // 10) // SHARD)
STEPS = 14


def run_sequences(number: int, count: int, *phases: Phase) -> Counter[str]:
    """Sequences that a number stands for; the counts of what they did.

    Raises:
        AssertionError: If a sequence ends with other rows than the companies have.
    """

    class Numbered(Company):
        tally: ClassVar[Counter[str]] = Counter()

    seed(number)(Numbered)
    run_state_machine_as_test(Numbered, settings=settings_for(count, STEPS, *phases))
    return Numbered.tally


def settings_for(sequences: int, steps: int, *phases: Phase) -> settings:
    return settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )


class Mistaken(Company):
    """What follows is another sequence than the company's."""

    tally: ClassVar[Counter[str]] = Counter()

    def teardown(self) -> None:
        raise AssertionError("other rows than there are")


def test_a_sequence_that_fails_prints_itself_as_a_script() -> None:
    with pytest.raises(AssertionError) as failed:
        run_state_machine_as_test(Mistaken, settings=settings_for(1, 3, Phase.generate))

    script = "\n".join(failed.value.__notes__).splitlines()
    assert "state = Mistaken()" in script
    assert any(line.startswith("state.begin(") for line in script)
    assert script[-1] == "state.teardown()"


def test_each_class_of_events_occurs_and_ends_with_the_truth() -> None:
    class Directed(Company):
        tally: ClassVar[Counter[str]] = Counter()

    meet_each_class(Directed)
    assert [name for name in CLASSES if not Directed.tally[name]] == []


def meet_each_class(machine: type[Company]) -> None:
    """Call the rules that stand for a class; by chance, a shard may miss some classes."""
    sync = {"only": None, "pages": None, "rounds": 200, "every": 1, "deletes": "hard"}
    for season in ("march", "october"):
        company = machine()
        company.begin("key", (3, 4), 1, {"accounts", "receivables"}, "bulk", False, season, 120.0)
        company.be_upgraded()
        company.jump(-120.0)
        for how in ("drop", "truncate"):
            company.lose("accounts", how)
            company.sync_well()
        company.go_back("accounts", "8")
        company.sync_well()
        for kind in (*TWINS, *SIZES):
            company.trouble(kind, 1, "accounts", 0, 1, True)
            company.sync_well()
            company.sync_well()
        company.be_killed(1, None)
        company.sync_badly(fails=[], raises=1, **sync)
        for fate in ("fails", "in part"):
            company.update("accounts", 0, 1, False)
            company.sync_badly(fails=[fate], raises=None, **sync)
        for is_writer in (False, True):
            company.join(HOUR_S, is_writer)
            company.delete("accounts", 0, 2, False)
            company.sync_well()
        company.hide_tombstones("accounts", 0, 1, True, 1)
        company.doubt_rights("receivables", 0, 1)
        company.sync_well()
        company.teardown()


@pytest.mark.histories
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("number", range(FIRST_SEED, FIRST_SEED + SHARDS))
def test_a_sync_that_ends_well_holds_the_truth(number: int, record_property: Record) -> None:
    count = min(SHARD, SEQUENCES)
    did = run_sequences(number, count, Phase.generate, Phase.shrink)

    assert did["ends"] >= count
    assert did["syncs"] >= 4 * count
    assert did["complete"] >= 4 * count
    assert did["compared"] >= 2 * count
    missed = [name for name in CLASSES if not did[name]]
    assert count < SHARD or len(missed) < len(CLASSES) // 2, missed  # some by chance
    if IS_NIGHT:
        report_classes(record_property, CLASSES, did, shards=SHARDS)
