"""``$metadata`` that differs from the catalogue."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..data.catalogue import Endpoint
from .queries import WITHDRAWN


def changed_endpoint(active: Collection[str], endpoint: Endpoint) -> Endpoint | None:
    """An endpoint as in ``$metadata``; ``None`` if ``$metadata`` omits it."""
    if "endpoint-withdrawn" in active and endpoint.path == WITHDRAWN:
        return None
    columns = dict(endpoint.columns)
    if "field-withdrawn" in active and endpoint.path == "financial/Journals":
        columns.pop("BankAccountBICCode", None)
    if "new-field" in active and endpoint.path == "crm/Accounts":
        columns["SandboxNovelty"] = "s"
    if "other-type" in active and endpoint.path == "financialtransaction/TransactionLines":
        columns["EntryNumber"] = "s"
    return endpoint if columns == endpoint.columns else replace(endpoint, columns=columns)
