"""Texts that Exact pads with spaces, because their database columns have a fixed length.

The lengths come from recorded replies (API 12.13: NL 2013, FR 2026). Stored rows are not padded, except for
codes that are padded on the left (``Code`` of an account, 18 characters).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..data.catalogue import Endpoint

LENGTHS = {
    "BankAccountCountry": 3,
    "Country": 3,
    "Language": 10,
    "Legislation": 3,
    "Nationality": 3,  # by analogy: it holds a country
    "PurchaseVATCode": 3,
    "SalesVATCode": 3,  # by analogy
    "SearchCode": 9,
    "State": 3,
    "Unit": 8,
    "VATCode": 3,
}
OF_ENTITY = {"vat_codes": {"Code": 3}}
UNPADDED = frozenset({"me"})  # `Language` was seen as `EN` there


def fixed_lengths(endpoint: Endpoint, columns: Mapping[str, str]) -> dict[str, int]:
    """The length of each padded column that is served."""
    if endpoint.entity in UNPADDED:
        return {}
    lengths = LENGTHS | OF_ENTITY.get(endpoint.entity, {})
    return {
        column: lengths[column]
        for column, type_code in columns.items()
        if type_code == "s" and column in lengths
    }
