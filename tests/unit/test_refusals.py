"""What is shown of refused reads: Exact's own words without values, and the first few entities."""

from __future__ import annotations

import json
import re

import pytest

from exact_source.client.refusal import mask_values, stated_reason
from exact_source.engine.result import StreamResult, describe_excluded
from exact_source.errors import UNAVAILABLE

URL = "/api/v1/7/crm/Accounts?$select=ID,Code,FavouriteColour&$filter=Name%20eq%20'Jansen'"
KEPT = [
    "Bad Request - Error in query syntax.",
    "Invalid: ItemID or Modified.",
    "Forbidden - Application Scope Violated. Cannot read 'organization.administration' scope.",
    "Forbidden - User division is not within division scope",
    "must have a $filter parameter with one of: Accountant,AccountManager,AddressLine1,AddressLine2.",
    "Type 'Exact.Web.Api.Models.Financial.BankEntry' does not have a property named 'FavouriteColour'.",
    "L'utilisateur n'a pas d'accès à l'entité",
    "Gegeven bestaat niet: zo'n veld is er niet (foto's evenmin)",
]
MASKED = {
    "Name eq 'Jansen' is wrong": "Name eq '***' is wrong",
    "ID eq guid'6c0e2d8e-5f5d-4c1a-9b7e-0d9f4a3b2c1d'": "ID eq guid'***'",
    "Modified ge datetime'2026-01-31T10:00:00' at position 12.": "Modified ge datetime'***' at position ***.",
    "No \"O'Brien\" or 'O''Brien' here": "No \"***\" or '***' here",
    "6c0e2d8e-5f5d-4c1a-9b7e-0d9f4a3b2c1d of j.jansen@voorbeeld.nl": "*** of ***",
    "NL91ABNA0417164300 holds -1.234,56 since 10/28/2022 4:15:50 PM": "*** holds *** since *** *** PM",
    "add a $top=1 statement": "add a $top=*** statement",
    "property named 'FavouriteColor'": "property named '***'",
}


@pytest.mark.parametrize("text", KEPT)
def test_words_of_the_schema_stay(text: str) -> None:
    assert mask_values(text, URL) == text


@pytest.mark.parametrize(("text", "shown"), MASKED.items())
def test_values_are_masked(text: str, shown: str) -> None:
    assert mask_values(text, URL) == shown


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (json.dumps({"error": {"code": "", "message": {"lang": "", "value": "no"}}}), "no"),
        (json.dumps({"error": {"code": "", "message": {"lang": "", "value": None}}}), ""),
        (json.dumps({"error": "no"}), ""),
        ("[" * 100_000, ""),
        ("<html>no</html>", ""),
        ("", ""),
    ],
)
def test_only_the_documented_form_holds_a_reason(body: str, text: str) -> None:
    assert stated_reason(body.encode()) == text


def test_of_many_refused_entities_six_are_named_and_the_others_counted() -> None:
    named, counted = [], []
    for entities in (6, 7, 8, 20):
        refused = [StreamResult(9, f"e{n}", "sync", 0.0, code=UNAVAILABLE) for n in range(entities)]
        (line,) = describe_excluded(refused)
        named.append(len(re.findall(r"\be\d+\b", line)))
        counted.append(re.findall(r"(\d+) more", line))

    assert named == [6, 7, 6, 6]
    assert counted == [[], [], ["2"], ["14"]]
