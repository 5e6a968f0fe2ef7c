"""The companies, from the tables of this folder."""

from __future__ import annotations

from datetime import datetime
from random import Random
from typing import Any

from ...catalogue import Row
from ..books import Books
from ..chart import GLAccount, Journal
from ..relations import CODE_WIDTH
from .calendars import Period, periods
from .ledger import add_entries, add_ledger, add_open_items, add_returns
from .tables import day, of, table

AWKWARD = "awkward"
COMPANIES = tuple(row["company"] for row in table("companies"))
JOURNALS = (
    Journal("20", "Bankboek", 12, "1100"),
    Journal("60", "Inkoopboek", 22, "1600"),
    Journal("70", "Verkoopboek", 20, "1300"),
    Journal("90", "Memoriaal", 90, "1450"),
)
SCHEME = {"GLSchemeCode": "RGS", "GLSchemeDescription": "Referentie Grootboekschema"}
# Entities that these companies fill, possibly with no rows; every other entity gets generic rows.
ENTITIES = frozenset(
    {
        "accounts", "budgets", "costcenters", "costunits", "exchange_rates", "financial_periods",
        "gl_account_classification_mappings", "gl_accounts", "gl_classifications", "items",
        "journals", "payments", "projects", "purchase_entries", "purchase_entry_lines",
        "receivables", "returns", "sales_entries", "sales_entry_lines", "sales_invoice_lines",
        "sales_invoices", "sales_order_lines", "sales_orders", "stock_positions",
        "subscription_lines", "subscriptions",
        "time_cost_transactions", "transaction_lines", "vat_codes", "warehouses",
    }
)  # fmt: skip


def new_awkward_company(name: str, random: Random, before: datetime, first_version: int) -> Books:
    """The books of one of ``COMPANIES``, with row versions."""
    company = next(row for row in table("companies") if row["company"] == name)
    books = Books(random, before, 0, opened=day(company["opened"]))
    calendar = periods(company["calendar"], books.opened, before)
    _add_chart(books, company["currency"])
    _add_periods(books, calendar)
    _add_vat_codes(books)
    parties = _add_parties(books, name)
    items = _add_items(books, name)
    dimensions = _add_dimensions(books, name)
    _add_budgets(books, name)
    _add_classifications(books, name)
    _add_hours(books, name, dimensions["projects"])
    _add_subscriptions(books, name, parties)
    _add_rates(books, name, company["currency"])
    known = {"parties": parties, "items": items, **dimensions}
    lines = add_ledger(books, name, company["currency"], calendar, known)
    add_open_items(books, lines)
    add_returns(books, lines)
    add_entries(books, lines)
    books.stamp(first_version)
    return books


def division_columns(index: int) -> dict[str, Any]:
    """The columns of ``system/Divisions`` that differ from a random company."""
    row = table("companies")[index]
    found = {
        "Description": row["name"],
        "Currency": row["currency"],
        "VATNumber": row["vat_number"],
        "ChamberOfCommerceNumber": row["register"],
        "StartDate": day(row["opened"]),
    }
    return found | ({"Country": "US"} if row["currency"] == "USD" else {})


def _add_chart(books: Books, currency: str) -> None:
    for record in table("chart"):
        account = GLAccount(
            record["code"],
            record["description"],
            int(record["type"]),
            record["balance_type"] == "B",
        )
        key = books.guid()
        books.gl[account.code] = (key, account)
        row = {
            "ID": key,
            "Code": account.code,
            "Description": account.description,
            "Type": account.type,
            "BalanceType": record["balance_type"],
            "BalanceSide": record["balance_side"],
            "IsBlocked": False,
            "Compress": False,
            "Matching": account.code in {"1300", "1600"},
        }
        books.add("gl_accounts", row, books.opened)
    for journal in JOURNALS:
        row = {
            "ID": books.guid(),
            "Code": journal.code,
            "Description": journal.description,
            "Type": journal.type,
            "Currency": currency,
            **books.gl_columns(journal.gl_account),
        }
        books.add("journals", row, books.opened)


def _add_periods(books: Books, calendar: list[Period]) -> None:
    for period in calendar:
        row = {
            "ID": books.guid(),
            "FinYear": period.year,
            "FinPeriod": period.number,
            "StartDate": period.start,
            "EndDate": period.end,
        }
        books.add("financial_periods", row, books.opened)


def _add_vat_codes(books: Books) -> None:
    for record in table("vat_codes"):
        row: Row = {
            "ID": books.guid(),
            "Code": record["code"].ljust(3),
            "Description": record["description"],
            "Percentage": int(record["percent"]) / 100,
            "Type": "E",
            "VATTransactionType": record["kind"],
            "Charged": record["charged"] == "yes",
            "EUSalesListing": record["listing"],
            "IsBlocked": False,
            "Country": "NL",
        }
        for column, code in (("GLToPay", record["to_pay"]), ("GLToClaim", record["to_claim"])):
            if code:
                key, account = books.gl[code]
                row |= {
                    column: key,
                    f"{column}Code": code,
                    f"{column}Description": account.description,
                }
        books.add("vat_codes", row, books.opened)


def _add_parties(books: Books, name: str) -> dict[str, Row]:
    parties: dict[str, Row] = {}
    for record in of("parties", name):
        row: Row = {
            "ID": books.guid(),
            "Code": record["code"].rjust(CODE_WIDTH),
            "Name": record["name"],
            "Country": record["country"].ljust(3),
            "Status": "C" if record["customer"] == "yes" else "A",
            "IsSales": record["customer"] == "yes",
            "IsSupplier": record["supplier"] == "yes",
        }
        if record["vat_number"]:
            row["VATNumber"] = record["vat_number"]
        if record["register"]:
            row["ChamberOfCommerce"] = record["register"]
        parties[record["name"]] = books.add("accounts", row, books.opened)
    return parties


def _add_items(books: Books, name: str) -> dict[str, Row]:
    items: dict[str, Row] = {}
    for record in of("items", name):
        row: Row = {
            "ID": books.guid(),
            "Code": record["code"],
            "Description": record["description"],
            "AverageCost": float(record["average_cost"]),
            "CostPriceStandard": float(record["average_cost"]),
            "Stock": float(record["stock"]),
            "IsStockItem": True,
            "IsSalesItem": True,
            "Unit": "stuk    ",
        }
        items[record["code"]] = books.add("items", row, books.opened)
        position = {
            "ID": books.guid(),
            "ItemId": row["ID"],
            "ItemCode": row["Code"],
            "CurrentStock": row["Stock"],
        }
        books.add("stock_positions", position, books.opened)
    return items


def _add_dimensions(books: Books, name: str) -> dict[str, dict[str, Row]]:
    """The cost centres, cost units and projects that occur in the ledger."""
    found: dict[str, dict[str, Row]] = {"costcenters": {}, "costunits": {}, "projects": {}}
    for record in of("ledger", name):
        more = dict(part.split("=") for part in record["more"].split(";") if part)
        for key, entity in (("cc", "costcenters"), ("cu", "costunits"), ("project", "projects")):
            if key in more and more[key] not in found[entity]:
                code = more[key]
                row = {"ID": books.guid(), "Code": code, "Description": code.capitalize()}
                found[entity][code] = books.add(entity, row, books.opened)
    return found


def _add_budgets(books: Books, name: str) -> None:
    for record in of("budgets", name):
        row: Row = {
            "ID": books.guid(),
            "AmountDC": float(record["amount"]),
            "BudgetScenarioCode": "1",
            "BudgetScenarioDescription": "Begroting",
            "ReportingYear": int(record["year"]),
            "ReportingPeriod": int(record["period"]),
            **books.gl_columns(record["gl"]),
        }
        if record["cost_center"]:
            row["Costcenter"] = record["cost_center"]
        if record["cost_unit"]:
            row["Costunit"] = record["cost_unit"]
        books.add("budgets", row, books.opened)


def _add_classifications(books: Books, name: str) -> None:
    """The part of the Dutch reference scheme to which a company maps its accounts."""
    if name != "dimensions":
        return
    scheme, keys = {"GLSchemeID": books.guid(), **SCHEME}, dict[str, str]()
    for record in table("classifications"):
        key = keys[record["code"]] = books.guid()
        row: Row = {
            "ID": key,
            "Code": record["code"],
            "Name": record["code"],
            "Description": record["description"],
            "Balance": "D",
            "Abstract": False,
        }
        if record["parent"]:
            row["Parent"] = keys[record["parent"]]
        books.add("gl_classifications", row, books.opened)
        for code in record["gl_accounts"].split():
            mapped = {
                "ID": books.guid(),
                "Classification": key,
                "ClassificationCode": record["code"],
                "ClassificationDescription": record["description"],
                **scheme,
                **books.gl_columns(code),
            }
            books.add("gl_account_classification_mappings", mapped, books.opened)


def _add_hours(books: Books, name: str, projects: dict[str, Row]) -> None:
    employees: dict[str, str] = {}
    for record in of("hours", name):
        quantity, price = float(record["quantity"]), float(record["price"])
        project = projects[record["project"]]
        row = {
            "ID": books.guid(),
            "Date": day(record["date"]),
            "Type": int(record["kind"]),
            "HourStatus": 20,
            "Employee": employees.setdefault(record["employee"], books.guid()),
            "Project": project["ID"],
            "ProjectCode": project["Code"],
            "ProjectDescription": project["Description"],
            "Quantity": quantity,
            "PriceFC": price,
            "AmountFC": quantity * price,
            "Currency": "EUR",
        }
        books.add("time_cost_transactions", row, day(record["date"]))


def _add_subscriptions(books: Books, name: str, parties: dict[str, Row]) -> None:
    headers: dict[str, Row] = {}
    for record in of("subscriptions", name):
        number, party = record["number"], parties[record["party"]]
        if number not in headers:
            header: Row = {
                "EntryID": books.guid(),
                "Number": int(number),
                "OrderedBy": party["ID"],
                "OrderedByName": party["Name"],
                "InvoiceTo": party["ID"],
                "StartDate": day(record["from"]),
                "EndDate": day(record["to"]),
                "Currency": "EUR",
            }
            headers[number] = books.add("subscriptions", header, books.opened)
        amount = float(record["amount"])
        line = {
            "ID": books.guid(),
            "EntryID": headers[number]["EntryID"],
            "SubscriptionNumber": int(number),
            "LineNumber": int(record["line"]),
            "LineType": int(record["line_type"]),
            "FromDate": day(record["from"]),
            "ToDate": day(record["to"]),
            "Quantity": 1.0,
            "NetPrice": amount,
            "AmountDC": amount,
            "AmountFC": amount,
        }
        books.add("subscription_lines", line, books.opened)


def _add_rates(books: Books, name: str, currency: str) -> None:
    for record in of("rates", name):
        row = {
            "ID": books.guid(),
            "SourceCurrency": record["currency"],
            "TargetCurrency": currency,
            "Rate": float(record["rate"]),
            "StartDate": day(record["date"]),
        }
        books.add("exchange_rates", row, day(record["date"]))
