"""Which variants of a test run by default, and how many examples a property gets."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

# A property of which more examples are tried in `make nightly`.
ALL_EXAMPLES = bool(os.environ.get("EXACT_TEST_EXAMPLES"))
SHARE = 8


def examples(full: int = 100) -> settings:
    """Settings of a property: an eighth of the examples by default, all in ``make nightly``.

    Args:
        full: Number of examples in ``make nightly``.
    """
    return settings(max_examples=full if ALL_EXAMPLES else max(10, full // SHARE))


def variants(kinds: Iterable[Any], *daily: str) -> list[Any]:
    """Parameters of which those in ``daily`` run by default and the others in ``make nightly``.

    The tests of a kind that is not ``daily`` must assert the same as those of one that is.
    """
    return [
        kind
        if kind in daily or not isinstance(kind, str)
        else pytest.param(kind, marks=pytest.mark.nightly)
        for kind in kinds
    ]
