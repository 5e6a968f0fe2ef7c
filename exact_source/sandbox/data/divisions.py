"""The companies themselves: ``system/Divisions`` and the lists derived from it (API section 5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from ..clock import AMSTERDAM
from ..state import USER_NAME, State
from .catalogue import Row
from .store import guid

NAMES = (
    "Molenaar Koffie B.V.",
    "Van Dijk Fietsen B.V.",
    "Noordzee Techniek B.V.",
    "De Linde Drukwerk",
    "Waterman Installaties",
)
CITIES = ("Delft", "Utrecht", "Den Helder", "Zwolle", "Breda")
FLAGS_OF_USER = (
    "IsClientUser", "IsEmployeeSelfServiceUser", "IsMyFirmLiteUser", "IsMyFirmPortalUser",
    "IsOEIMigrationMandatory", "IsStarterUser",
)  # fmt: skip
RECENT = 5


def division_rows(
    divisions: list[int], random: Random, before: datetime, version: int
) -> list[Row]:
    """One row of ``system/Divisions`` for each company."""
    return [
        {
            "Code": code,
            "Hid": index + 1,
            "Description": division_name(index),
            "AddressLine1": f"Havenkade {10 + index}",
            "City": CITIES[index % len(CITIES)],
            "Postcode": f"{2600 + index} AB",
            "Country": "NL",
            "Legislation": "NL",
            "Currency": "EUR",
            "Customer": guid(random),
            "CustomerCode": str(index + 1).rjust(18),
            "CustomerName": "Sandbox Groep B.V.",
            "BlockingStatus": 0,
            "Status": 1,
            "Current": index == 0,
            "IsMainDivision": index == 0,
            "IsHRDivision": False,
            "IsDossierDivision": False,
            "IsPracticeDivision": False,
            "ChamberOfCommerceNumber": str(27_000_000 + code % 100_000),
            "VATNumber": f"NL{800_000_000 + code % 1_000_000}B01",
            "Email": f"administratie{index + 1}@voorbeeld.test",
            "StartDate": datetime.fromisoformat(f"{2015 + index % 5}-01-01"),
            "Created": datetime.fromisoformat(f"{2015 + index % 5}-01-01T09:12:33.123"),
            "Modified": before - timedelta(days=40 + index),
            "Timestamp": version + 7 * index,
        }
        for index, code in enumerate(divisions)
    ]


def division_name(index: int) -> str:
    """The name of a company; if there are more companies than names, names are reused with a number."""
    lap, place = divmod(index, len(NAMES))
    return NAMES[place] + (f" {lap + 1}" if lap else "")


def all_divisions(state: State, division: int, _: dict[str, Any]) -> list[Row]:
    """``system/AllDivisions``: the companies of the licence."""
    return list(state.store.table(division, "divisions").rows.values())


def hrm_divisions(state: State, division: int, _: dict[str, Any]) -> list[Row]:
    """``hrm/Divisions``: the same companies with slightly different column names."""
    return [
        {
            **row,
            "HID": row.get("Hid"),
            "Main": row.get("IsMainDivision"),
            "CountryDescription": "Nederland",
        }
        for row in all_divisions(state, division, {})
    ]


def recent_divisions(state: State, division: int, _: dict[str, Any]) -> list[Row]:
    """``system/GetMostRecentlyUsedDivisions``: the top five."""
    return all_divisions(state, division, {})[:RECENT]


def me(state: State, division: int, _: dict[str, Any]) -> list[Row]:
    """``current/Me``: the user, and the time of the server."""
    local = datetime.fromtimestamp(state.clock.now(), UTC).astimezone(AMSTERDAM)
    offset = local.utcoffset() or timedelta()
    company = state.store.table(division, "divisions").rows[division,]
    return [
        {
            "UserID": state.user,
            "CurrentDivision": division,
            "AccountingDivision": division,
            "CustomerCode": company["CustomerCode"],
            "DivisionCustomer": company["Customer"],
            "DivisionCustomerCode": company["CustomerCode"],
            "DivisionCustomerName": company["CustomerName"],
            "FullName": USER_NAME,
            "FirstName": "Sanne",
            "MiddleName": "de",
            "LastName": "Boer",
            "UserName": "sanne.deboer",
            "Email": "sanne@voorbeeld.test",
            "Gender": "V",
            "Language": "NL",
            "LanguageCode": "nl-NL",
            "Legislation": 1,
            **dict.fromkeys(FLAGS_OF_USER, False),
            "ServerTime": local.replace(tzinfo=None).isoformat(timespec="seconds"),  # API 12.1
            "ServerUtcOffset": offset.total_seconds(),
        }
    ]
