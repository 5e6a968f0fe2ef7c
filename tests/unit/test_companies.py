"""Companies by code and by name."""

from __future__ import annotations

from typing import Any

import pytest

from exact_source.errors import ConfigurationError
from exact_source.options import Companies, parse_companies

NAMES = {1: "Smit Techniek B.V.", 2: "Smit, Jansen & Co", 3: "De Vries", 44: "SMIT Holding"}


@pytest.mark.parametrize(
    ("divisions", "exclude", "chosen"),
    [
        ("all", "", [1, 2, 3, 44]),
        (["all", 3], (), [1, 2, 3, 44]),
        ("44, 1,44", "", [44, 1]),
        ([3], (), [3]),
        ("Smit*", "", [1, 2, 44]),
        ("de vries", "", [3]),
        (["Smit, Jansen & Co", 3], (), [3, 2]),
        ("Smit? Jansen & Co", "", [2]),
        ("3,*techniek*", "", [3, 1]),
        ("all", "smit*", [3]),
        ("Smit*", "1,*holding", [2]),
        ("7", "", [7]),  # the list of divisions may be refused
        ("all", [1, 3], [2, 44]),
    ],
)
def test_codes_and_names_choose_companies(
    divisions: str | list[int | str], exclude: str | list[int | str], chosen: list[int]
) -> None:
    assert parse_companies(divisions, exclude).choose(NAMES) == chosen


@pytest.mark.parametrize(
    ("divisions", "exclude", "word"),
    [
        ("Smith*", "", "Smith"),
        ("De Vris", "", "De Vries"),
        ("smit", "", r"'smit\*'"),
        ("Sm?t", "", "exact-source divisions"),
        ("all", "x*", "x"),
        ("3", "3", "excluded"),
        ("all", [1, 9], "^exclude_divisions: .* 9"),
        ("all", "x*", "^exclude_divisions"),
    ],
)
def test_a_name_of_no_company_is_refused(divisions: str, exclude: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word):
        parse_companies(divisions, exclude).choose(NAMES)


def test_a_company_that_is_not_in_the_tables_is_refused() -> None:
    assert parse_companies("3,44").choose_loaded(NAMES) == [3, 44]
    with pytest.raises(ConfigurationError, match="7"):
        parse_companies("3,7").choose_loaded(NAMES)


def test_a_name_cannot_be_chosen_if_the_tables_have_none() -> None:
    with pytest.raises(ConfigurationError, match="entity divisions"):
        parse_companies("Smit*").choose_loaded({3: "", 4: "4"})
    assert parse_companies("3").choose_loaded({3: ""}) == [3]


def test_nothing_is_not_every_company() -> None:
    nothings: list[Any] = ["", " , ", []]
    for nothing in nothings:
        with pytest.raises(ConfigurationError):
            parse_companies(nothing)
    assert parse_companies("all") == Companies()


def test_codes_alone_need_no_list_of_divisions() -> None:
    assert not parse_companies("1,2").needs_names
    assert parse_companies("1,Smit*").needs_names
    assert parse_companies("all", "7").needs_names
