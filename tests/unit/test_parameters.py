"""Values of the parameters of functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.catalogue.parameters import (
    OWN_USE,
    UNKNOWN,
    all_sources,
    check_parameters,
    combinations,
    count_combinations,
    fixed_query,
    means_empty,
    parents_of,
    reason_not_read,
    sends_parameters,
    sources_of,
)
from exact_source.errors import ConfigurationError

catalogue = load_catalogue()
DAY = date(2026, 3, 10)
A, B = "0000000a-0000-4000-8000-000000000000", "0000000b-0000-4000-8000-000000000000"
FUNCTIONS = [
    (entity, feed)
    for entity in catalogue.entities.values()
    for feed in entity.feeds.values()
    if feed.parameters and reason_not_read(entity) is None
]


def values(
    entity: str, given: dict[str, Any], held: Mapping[str, Sequence[Any]]
) -> list[tuple[Any, ...]]:
    found = catalogue.entities[entity]
    feed = found.feeds["function"]

    def rows_of(parent: str, columns: list[str]) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in held[parent]]

    return combinations(sources_of(found, feed), check_parameters(given), rows_of, DAY)


def test_every_parameter_of_a_function_that_is_read_has_a_source() -> None:
    assert len(FUNCTIONS) == 49
    for entity, feed in FUNCTIONS:
        sources = sources_of(entity, feed)
        assert list(sources) == list(feed.parameters)
        for name, (type_code, _) in feed.parameters.items():
            assert sources[name].type_code == type_code, (entity.name, name)


def test_parents_are_entities_that_are_read_and_have_the_column() -> None:
    for source in all_sources():
        if source.parent is not None:
            parent = catalogue.entities[source.parent]
            type_codes = {column.name: column.type_code for column in parent.columns.values()}
            assert type_codes[source.column] == source.type_code
            assert reason_not_read(parent) is None
            assert not any(feed.parameters for feed in parent.feeds.values())


def test_what_is_not_read_has_its_reason() -> None:
    reasons = {n: reason_not_read(e) for n, e in catalogue.entities.items() if reason_not_read(e)}
    assert len(reasons) == 11
    assert {n for n, reason in reasons.items() if reason != UNKNOWN} == OWN_USE.keys()
    assert "sales_item_price" in reasons


def test_a_fixed_parameter_is_sent_without_any_value_and_needs_no_parent() -> None:
    entity = catalogue.entities["item_extra_field"]
    feed = entity.feeds["function"]
    assert sends_parameters(feed)
    assert fixed_query(feed) == {"modified": "datetime'1970-01-01T00:00:00'"}
    assert sources_of(entity, feed) == {}
    assert values("item_extra_field", {}, {}) == [()]
    assert not sends_parameters(catalogue.entities["receivables_list"].feeds["function"])


@pytest.mark.parametrize(
    ("name", "status", "words", "empty"),
    [
        ("item_extra_field", 400, "Invalid: ItemID or Modified.", True),
        ("item_extra_field", 403, "Invalid: ItemID or Modified.", False),
        ("item_extra_field", 400, "Bad Request - Error in query syntax.", False),
        ("item_extra_field", 400, "", False),
        ("receivables_list", 400, "Invalid: ItemID or Modified.", False),
        ("receivables_list", 400, "", False),
    ],
)
def test_one_refusal_means_that_there_are_no_rows(
    name: str, status: int, words: str, empty: bool
) -> None:
    feed = catalogue.entities[name].feeds["function"]
    assert means_empty(feed, status, words) == empty


def test_a_parameter_takes_the_keys_of_its_parent() -> None:
    held = {"items": [[A.upper()], [B], [B], [None]]}
    assert sorted(values("stock_position", {}, held)) == [(A,), (B,)]


def test_parameters_of_one_parent_come_from_one_row() -> None:
    held = {"project_wbs": [[A, B, 1], [B, A, 2], [None, A, 3]]}
    found = values("project_wbs_by_project_and_wbs", {}, held)
    assert sorted(found) == [(A, B, 1), (B, A, 2)]
    only = values("project_wbs_by_project_and_wbs", {"project_ids": [B]}, held)
    assert only == [(B, A, 2)]


def test_parameters_of_several_sources_are_combined() -> None:
    held = {"accounts": [[A], [B]]}
    found = values("receivables_list_by_account_and_age_group", {"age_groups": [1, 4]}, held)
    assert sorted(found) == [(A, 1), (A, 4), (B, 1), (B, 4)]


def test_settings_go_before_parents_which_then_are_not_needed() -> None:
    entity = catalogue.entities["stock_position"]
    sources = sources_of(entity, entity.feeds["function"])
    assert parents_of(sources, {}) == ["items"]
    assert parents_of(sources, {"item_ids": (A,)}) == []
    assert values("stock_position", {"item_ids": A}, {}) == [(A,)]


def test_defaults_are_of_the_day() -> None:
    assert values("revenue_list_by_year", {}, {}) == [(2025,), (2026,)]
    assert values("costs_by_date", {}, {}) == [(datetime.fromisoformat("2026-03-10"),)]
    assert values("aging_payables_list_by_age_group", {}, {}) == [(1,), (2,), (3,), (4,)]
    assert values("recent_hours_by_number_of_weeks", {}, {}) == [(4,)]
    assert values("preferred_mailbox_for_operation", {}, {}) == []
    both = values("revenue_list_by_year_and_status", {"years": 2024}, {})
    assert both == [(2024, False), (2024, True)]


def test_settings_may_come_as_text() -> None:
    found = check_parameters(
        {
            "years": "2024, 2025,2024",
            "after_entry": "true",
            "check_date": date(2024, 1, 31),
            "account_ids": [A.upper()],
            "search_text": "a, b",
            "number_of_weeks": 8,
        }
    )
    assert found == {
        "years": (2024, 2025),
        "after_entry": (True,),
        "check_date": (datetime.fromisoformat("2024-01-31"),),
        "account_ids": (A,),
        "search_text": ("a, b",),
        "number_of_weeks": (8,),
    }
    assert check_parameters(None) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"year": 2024}, "'year' is unknown; there are account_ids, "),
        ({"years": ["last"]}, "parameters.years must be whole numbers"),
        ({"after_entry": "maybe"}, "parameters.after_entry must be true or false"),
        ({"account_ids": ["x"]}, "parameters.account_ids must be guids"),
        ({"search_text": "x" * 1001}, "parameters.search_text must be texts of no more than 1,000"),
        ({"search_text": "\N{SNOWMAN}" * 112}, "parameters.search_text must be texts"),  # 9 each
        ({"check_date": "31-01-2024"}, "parameters.check_date must be dates such as 2024-01-31"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_parameters(given)


def test_a_text_that_the_url_has_room_for_is_taken() -> None:
    for text in ("x" * 1000, "\N{SNOWMAN}" * 111, "it's (a), b/c"):
        assert check_parameters({"search_text": text}) == {"search_text": (text,)}


def test_calls_are_counted_without_asking_for_the_values() -> None:
    def number(entity: str, given: dict[str, Any], rows: dict[str, int]) -> int | None:
        found = catalogue.entities[entity]
        sources = sources_of(found, found.feeds["function"])
        return count_combinations(sources, check_parameters(given), rows.get, DAY)

    name = "receivables_list_by_account_and_age_group"
    assert number(name, {}, {"accounts": 300}) == 1200
    assert number(name, {}, {}) is None
    assert number(name, {"account_ids": [A, B], "age_groups": 1}, {}) == 2
    assert number("revenue_list_by_year", {}, {}) == 2
    assert number("project_wbs_by_project_and_wbs", {}, {"project_wbs": 7}) == 7
