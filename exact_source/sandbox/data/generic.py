"""A few rows for each endpoint that the generated bookkeeping does not fill.

Values depend on the type and the name of their column. The first row has a value in every column, so that
every type occurs; the others are sparse, as real rows are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from .catalogue import Entity, Row
from .store import guid

MOST_ROWS = 7
LEAST_ROWS = 3
CHANCE_OF_NULL = 0.4
LARGE = 10_000_000_000  # an Int64 beyond Int32
RESERVED_VERSIONS = 64  # row versions reserved for each entity
SUMMER = datetime.fromisoformat(
    "2012-10-26"
)  # a date in Dutch summer time, seen in captured data (API 3.5)
BEFORE_1970 = datetime.fromisoformat("1961-05-04")
TEXTS = {
    "AccountCountry": "NL",
    "BankAccountCountry": "NL",
    "Country": "NL",
    "CountryCode": "NL",
    "CountryOfOrigin": "NL",
    "Currency": "EUR",
    "CurrencyCode": "EUR",
    "IntraStatCountry": "NL",
    "Language": "NL",
    "LanguageCode": "nl-NL",
    "Legislation": "NL",
    "Nationality": "NL",
    "OssCountry": "NL",
    "State": "NB",
    "Unit": "stuk",
    "Email": "info@voorbeeld.test",
    "Gender": "V",
}
FOREIGN_KEYS = {
    "Account": "accounts",
    "AccountId": "accounts",
    "AccountID": "accounts",
    "Customer": "accounts",
    "Supplier": "accounts",
    "OrderAccount": "accounts",
    "InvoiceAccount": "accounts",
    "DeliveryAccount": "accounts",
    "Contact": "contacts",
    "Item": "items",
    "ItemId": "items",
    "ItemID": "items",
    "GLAccount": "gl_accounts",
    "Project": "projects",
    "ProjectId": "projects",
    "ProjectID": "projects",
    "Warehouse": "warehouses",
}


class GenericRows:
    """Generates the rows of one entity in one division.

    Args:
        known: Entity -> rows that other rows may refer to.
        before: The wall-clock time before which all rows were written.
        first_version: The lowest row version of the rows.
    """

    def __init__(
        self,
        entity: Entity,
        random: Random,
        known: Mapping[str, Sequence[Row]],
        before: datetime,
        first_version: int,
        division: int,
    ) -> None:
        self._division = division
        self._entity = entity
        self._random = random
        self._known: dict[str, list[str]] = {
            entity: [row["ID"] for row in rows] for entity, rows in known.items()
        }
        self._referred = {row["ID"]: row for rows in known.values() for row in rows}
        self._before = before
        self._version = first_version

    def rows(self) -> list[Row]:
        """The rows, the oldest first."""
        count = self._random.randint(LEAST_ROWS, MOST_ROWS)
        return [self._row(number) for number in range(1, count + 1)]

    def _row(self, number: int) -> Row:
        full = number == 1
        row = {
            column: self._value(column, type_code, number)
            for column, type_code in self._entity.columns.items()
            if full or column in self._entity.key or self._random.random() > CHANCE_OF_NULL
        }
        self._describe_references(row)
        row.pop("Division", None)  # every row belongs to the division in which it is read
        if "Division" in self._entity.key:
            row["Division"] = self._division
        moment = self._before - timedelta(days=30 * (MOST_ROWS - number) + 1, seconds=number * 97)
        self._version += 7
        row |= {"Created": moment, "Modified": moment, "Timestamp": self._version}
        accounts, items, projects = (
            self._known.get(e, ()) for e in ("accounts", "items", "projects")
        )
        for parameter, keys in (
            ("accountId", accounts),
            ("itemId", items),
            ("projectId", projects),
        ):
            if keys:  # a function without a column for its parameter selects rows by it
                row[f"__{parameter}"] = keys[number % len(keys)]
        return row

    def _describe_references(self, row: Row) -> None:
        """Copy code, description and name from the row that is referred to."""
        for column in FOREIGN_KEYS.keys() & row.keys():
            referred = self._referred.get(row[column], {})
            for part in ("Code", "Description", "Name"):
                if f"{column}{part}" in row and part in referred:
                    row[f"{column}{part}"] = referred[part]

    def _value(self, column: str, type_code: str, number: int) -> Any:
        make = {
            "g": self._guid,
            "s": self._text,
            "x": self._text,
            "t": self._moment,
            "m": self._amount,
            "f": self._amount,
        }.get(type_code)
        if make is not None:
            return make(column, number)
        if type_code in {"b", "y"}:
            return number % 2 if type_code == "y" else number % 2 == 1
        return LARGE + number if type_code == "l" else self._number(column, number)

    def _amount(self, _: str, number: int) -> float:
        return round(self._random.uniform(1, 5000), 2) * (-1 if number % 5 == 0 else 1)

    def _guid(self, column: str, number: int) -> str:
        keys = self._known.get(FOREIGN_KEYS.get(column, ""), ())
        if keys and (column,) != self._entity.key:
            return keys[number % len(keys)]
        return guid(self._random)

    def _text(self, column: str, number: int) -> str:
        if column in TEXTS and column not in self._entity.key:
            return TEXTS[column]
        if column.endswith("Url") or self._entity.columns[column] == "x":
            return f"https://start.exactonline.invalid/docs/{column}.aspx?ID={number}"
        if column.endswith(("Code", "Number")):
            return f"{number:03d}"
        return f"{self._entity.name.replace('_', ' ').capitalize()} {number} - {column}"

    def _moment(self, column: str, number: int) -> datetime:
        if column in {"BirthDate", "EstablishedDate"}:
            return BEFORE_1970 + timedelta(days=number)
        return SUMMER + timedelta(days=365 * 10 + number)

    def _number(self, column: str, number: int) -> int:
        if column.endswith("Year"):
            return self._before.year - number % 3
        if column.endswith(("Period", "Month")):
            return 1 + number % 12
        return number
