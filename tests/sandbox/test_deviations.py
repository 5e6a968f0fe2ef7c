"""``verify`` finds every deliberate deviation of the sandbox, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from exact_source.sandbox.deviations import DEVIATIONS
from exact_source.verify import CHECKS, Verification
from tests.support.verify_kit import (
    ALSO,
    FOUND_BY,
    large_world,
    leaks,
    names,
    scaled_world,
    verified,
)
from tests.support.world import World

PAIRS = list(combinations(DEVIATIONS, 2))
SAMPLE = Random(23).sample(PAIRS, 8)  # by default; all of them each night
# Which depend on how many rows there are.
IN_FULL_SIZE = (
    "small-pages",
    "small-bulk-pages",
    "small-sync-pages",
    "paged-reads",
    "bulk-misses-rows",
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with large_world(tmp_path_factory.mktemp("verify")) as world:
        yield world


@pytest.fixture
def scaled(tmp_path: Path) -> Iterator[World]:
    """A new one for each test: an hour passes between verifications, and tombstones live two months."""
    with scaled_world(tmp_path) as world:
        yield world


@pytest.fixture(scope="module")
def alone() -> dict[str, Verification]:
    """What was found with each deviation alone, as far as it was asked for."""
    return {}


def found_alone(scaled: World, alone: dict[str, Verification], name: str) -> Verification:
    if name not in alone:
        alone[name] = verified(scaled, name)
    return alone[name]


def test_every_deviation_has_a_check_and_every_check_a_deviation() -> None:
    assert len(DEVIATIONS) >= 25
    assert FOUND_BY.keys() == DEVIATIONS.keys()
    assert set(FOUND_BY.values()) == {check.name for check in CHECKS}


@pytest.mark.parametrize("size", ["large", "scaled"])
def test_nothing_is_found_where_nothing_is_wrong(request: pytest.FixtureRequest, size: str) -> None:
    found = verified(request.getfixturevalue(size))

    assert names(found, "differs") == set()
    assert names(found, "not measured") == set()
    assert (found.refusals, found.exit_code, found.stopped) == (0, 0, "")


@pytest.mark.parametrize("name", DEVIATIONS)
def test_each_deviation_is_found_alone(
    scaled: World, alone: dict[str, Verification], name: str
) -> None:
    found = found_alone(scaled, alone, name)
    check_alone(found, name)
    assert leaks(scaled, found) == set()


@pytest.mark.parametrize("name", IN_FULL_SIZE)
def test_what_depends_on_the_number_of_rows_is_found_in_full_size(large: World, name: str) -> None:
    check_alone(verified(large, name), name)


def check_alone(found: Verification, name: str) -> None:
    assert names(found, "differs") == {FOUND_BY[name]} | ALSO.get(name, set())
    must_report = any(f.is_report for f in found.findings)
    assert found.exit_code == (1 if must_report else 0)


# Each of these is refused; together they would be refused more often than is allowed.
REFUSED = (
    "no-modified-filter", "no-bulk-modified-filter", "no-key-filter", "no-count-path",
    "no-version-zero", "no-start-version", "select-everywhere", "no-rights-question",
)  # fmt: skip


@pytest.mark.parametrize("chosen", [REFUSED, REFUSED[::-1][:4], REFUSED[3:7]])
def test_it_stops_after_two_refusals(scaled: World, chosen: tuple[str, ...]) -> None:
    found = verified(scaled, *chosen)

    assert found.refusals == 2
    assert len(names(found, "differs") & {FOUND_BY[name] for name in chosen}) == 2


def test_it_makes_at_most_eighty_calls(large: World) -> None:
    large.box.fault("503", path="sync/*", times=10_000)
    large.box.fault("503", path="crm/*", times=10_000)
    try:
        found = verified(large)
    finally:
        large.box.state.faults.clear()

    assert found.calls == 80
    assert found.stopped
    assert found.exit_code == 3


def check_pair(
    scaled: World, alone: dict[str, Verification], pair: tuple[str, str]
) -> tuple[str, ...]:
    """The deviations of a pair that were not found, though neither hides the other.

    One hides the other if its check cannot be made with it alone, or is not made after two refusals.
    """
    found = verified(scaled, *pair)
    missed = {name for name in pair if FOUND_BY[name] not in names(found, "differs")}
    assert len(missed) < 2, pair
    unasked = names(found, "not measured") if found.refusals == 2 else set()
    for one, other in (pair, pair[::-1]):
        alone_with = names(found_alone(scaled, alone, other), "not measured")
        if FOUND_BY[one] in alone_with | unasked:
            missed.discard(one)
    return tuple(missed)


@pytest.mark.parametrize("pair", SAMPLE, ids="+".join)
def test_two_deviations_are_found_together(
    scaled: World, alone: dict[str, Verification], pair: tuple[str, str]
) -> None:
    assert check_pair(scaled, alone, pair) == ()


@pytest.mark.nightly
@pytest.mark.xdist_group("pairs")  # which share what each finds alone
@pytest.mark.parametrize("first", list(DEVIATIONS)[:-1])
def test_all_pairs_are_found_together(
    scaled: World, alone: dict[str, Verification], first: str
) -> None:
    mine = [pair for pair in PAIRS if pair[0] == first]
    missed = {pair: lost for pair in mine if (lost := check_pair(scaled, alone, pair))}
    assert missed == {}
