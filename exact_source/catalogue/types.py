"""Type codes of ``catalogue.json``, one for each type of Exact's fields."""

from __future__ import annotations

import re

# One letter for each type keeps the file small. "m" is an Edm.Double that holds an amount: Exact has no
# Edm.Decimal (API 3.4).
TYPES = {
    "Edm.Guid": "g", "Edm.String": "s", "Edm.Double": "f", "Edm.Int32": "i", "Edm.Int16": "h",
    "Edm.Byte": "y", "Edm.Int64": "l", "Edm.DateTime": "t", "Edm.Boolean": "b", "Edm.Binary": "x",
}  # fmt: skip
MONEY = re.compile(
    r"Amount|Price|Balance|Debit|CreditLine|Turnover|Salary|Revenue|Wage|Capital|CatalogueValue"
    r"|ResidualValue|Budget$|Cost$|CostDC$|^Cost(s|Batch|Per)|BudgetedCosts?$|^Result(Current|Previous)"
)
NOT_MONEY = re.compile(r"Percentage|Factor|Rate|Ratio|Days|Hours|Quantity|Precision")


def column_type(field: str, edm_type: str) -> str | None:
    """The type code of a field; ``None`` for navigation properties."""
    type_code = TYPES.get(edm_type)
    if type_code == "f" and MONEY.search(field) and not NOT_MONEY.search(field):
        return "m"
    return type_code
