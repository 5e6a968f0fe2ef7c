"""The rows that an endpoint serves in a division: stored, derived, or chosen by a parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..http.errors import bad_request
from ..http.webhooks import SUBSCRIPTIONS
from ..state import State
from .catalogue import Endpoint, Row
from .reports import REPORTS
from .store import Table

# Parameters that select rows -> columns that may contain their value; other parameters have no effect.
PARAMETER_COLUMNS = {
    "accountId": ("AccountId", "AccountID", "Account"),
    "itemId": ("ItemId", "ItemID", "Item"),
    "projectId": ("ProjectId", "ProjectID", "Project"),
    "opportunityId": ("OpportunityId", "OpportunityID", "Opportunity"),
    "projectWBSId": ("ProjectWBSId", "WBSId", "ProjectWBS"),
    "entryId": ("EntryId", "EntryID"),
    "year": ("Year",),
    "reportingYear": ("ReportingYear",),
    "ageGroup": ("AgeGroup",),
    "addressType": ("Type",),
}


def table_of(
    state: State, division: int, endpoint: Endpoint, parameters: Mapping[str, Any] | None = None
) -> Table:
    """The rows of an endpoint before any ``$filter``; all of them if there are no parameters.

    Raises:
        RefusedError: If the endpoint refuses instead of answering with an empty list (API 12.10).
    """
    report = REPORTS.get(endpoint.entity)
    if report is not None:
        return Table(endpoint.key, report(state, division, dict(parameters or {})))
    if endpoint.entity == "deleted":
        state.store.forget_old_tombstones(division)
    table = state.store.table(division, endpoint.entity)
    is_call = endpoint.empty_refusal and parameters is not None
    if is_call and ("modified" not in (parameters or ()) or not table.rows):
        raise bad_request(endpoint.empty_refusal)
    return table


def row_tests(
    endpoint: Endpoint, parameters: Mapping[str, Any], user: str
) -> tuple[Callable[[Row], bool], ...]:
    """Tests that the rows of a list must pass.

    Webhook subscriptions belong to a user (API 7); that a list omits those of other users is a guess.
    """
    if endpoint.entity == SUBSCRIPTIONS:
        return (_equals("UserID", user),)
    return parameter_tests(endpoint, parameters)


def parameter_tests(
    endpoint: Endpoint, parameters: Mapping[str, Any]
) -> tuple[Callable[[Row], bool], ...]:
    """Tests that the rows of a function must pass; reports select their rows themselves."""
    if endpoint.entity in REPORTS:
        return ()
    tests = []
    for name, value in parameters.items():
        column = next((c for c in PARAMETER_COLUMNS.get(name, ()) if c in endpoint.columns), None)
        if column is not None:
            tests.append(_equals(column, value))
        elif name in PARAMETER_COLUMNS:
            tests.append(_equals(f"__{name}", value))
        elif name == "modified":  # of `ItemExtraField` (API 12.10)
            tests.append(_changed_since(value))
    return tuple(tests)


def _changed_since(moment: Any) -> Callable[[Row], bool]:
    return lambda row: bool(row["Modified"] >= moment)


def _equals(column: str, value: Any) -> Callable[[Row], bool]:
    return lambda row: column not in row or row[column] == value
