"""An amount is the decimal that its double prints as, by whichever way it was worked out."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exact_source.odata import columns

NINTH = Decimal("1e-9")
EDGE = 2**22  # where the quick way ends


def as_printed(number: float | None) -> Decimal | None:
    """By Python's own shortest text of a double."""
    if number is None:
        return None
    return Decimal(repr(number)).quantize(NINTH, ROUND_HALF_EVEN)


def decimals(places: int, most: int) -> st.SearchStrategy[float]:
    """Doubles that print with so many decimals at most."""
    limit = most * 10**places
    return st.integers(-limit, limit).map(lambda units: units / 10**places)


amounts = st.one_of(
    st.none(),
    decimals(2, 10**12),
    decimals(2, 10**9),
    decimals(9, 10**8),
    decimals(9, EDGE),
    decimals(9, 10**6),
    decimals(12, 10),
    st.floats(-EDGE - 8, EDGE + 8),
    st.floats(EDGE, 2**31),
    st.floats(-1e14, 1e14),
).filter(lambda x: not x or abs(x) > 1e-20)  # smaller ones are misfits


@given(st.lists(amounts, min_size=1))
@example([None])
@example([0.0, -0.0, 1e-9, -1e-9, 4e-10, 5e-10, 6e-10])
@example([EDGE - 1e-9, 4194303.999999999])
@example([4194304.1, 4194303.9, None])
@example([12753504.182528013])
@example([722763929.7019774, 1073741823.1])
@example([8388608.000000001, 0.123456789, 0.1234567891])
def test_an_amount_is_what_its_double_prints_as(numbers: list[float | None]) -> None:
    kept, _, _ = columns.money(pa.array(numbers, pa.float64()))

    assert kept.type == columns.MONEY
    kept.validate(full=True)
    assert kept.to_pylist() == [as_printed(number) for number in numbers]


@pytest.mark.parametrize("places", range(10))
@given(st.data())
def test_the_quick_way_takes_all_that_has_no_more_decimals(
    places: int, data: st.DataObject
) -> None:
    numbers = data.draw(st.lists(decimals(places, EDGE - 1), min_size=1))
    assert columns._small(pa.array(numbers, pa.float64())) is not None


@given(decimals(12, 1000).filter(lambda x: Decimal(repr(x)) != as_printed(x)))
def test_the_quick_way_leaves_what_has_more_decimals(number: float) -> None:
    assert columns._small(pa.array([1.5, number], pa.float64())) is None
