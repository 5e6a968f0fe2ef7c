"""Small tables, customers and suppliers with their contacts and addresses."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..catalogue import Row
from . import chart
from .books import Books, euros

CODE_WIDTH = 18  # API 3.3: account codes are padded with spaces on the left
NATIONAL_CURRENCY = "EUR"
SUPPLIER_EVERY = 4


def add_small_tables(books: Books) -> None:
    """Ledger accounts, journals, VAT codes, payment conditions, periods."""
    day = books.opened
    for account in chart.GL_ACCOUNTS:
        key = books.guid()
        books.gl[account.code] = (key, account)
        books.add("gl_accounts", _gl_account(key, account), day)
    for journal in chart.JOURNALS:
        row = {
            "ID": books.guid(),
            "Code": journal.code,
            "Description": journal.description,
            "Type": journal.type,
            "Currency": NATIONAL_CURRENCY,
            "IsBlocked": False,
            "AllowVAT": journal.type != chart.BANK_JOURNAL.type,
            **books.gl_columns(journal.gl_account),
        }
        books.add("journals", row, day)
    for vat in (*chart.VAT_CODES, chart.PURCHASE_VAT):
        books.add("vat_codes", _vat_code(books, vat), day)
    for code, description, days in chart.PAYMENT_CONDITIONS:
        row = {"ID": books.guid(), "Code": code, "Description": description, "PaymentDays": days}
        books.add("payment_conditions", row | {"Percentage": 1.0, "PaymentMethod": "B"}, day)
    _add_periods(books)


def add_relations(books: Books) -> None:
    """Customers and suppliers with their contacts and addresses."""
    customers = max(5, min(400, books.invoices // 6))
    suppliers = max(3, customers // SUPPLIER_EVERY)
    for number in range(1, customers + suppliers + 1):
        _add_account(books, number, is_supplier=number > customers)


def customers(books: Books) -> list[Row]:
    """The customers."""
    return [row for row in books.tables["accounts"] if row["IsSales"]]


def suppliers(books: Books) -> list[Row]:
    """The suppliers."""
    return [row for row in books.tables["accounts"] if row["IsSupplier"]]


def _gl_account(key: str, account: chart.GLAccount) -> Row:
    return {
        "ID": key,
        "Code": account.code,
        "Description": account.description,
        "SearchCode": account.description.split()[0].upper(),
        "Type": account.type,
        "BalanceSide": "C" if account.code[0] in "58" or account.code == chart.PAYABLE else "D",
        "BalanceType": "B" if account.balance else "W",
        "Compress": False,
        "IsBlocked": False,
        "Matching": account.code in {chart.RECEIVABLE, chart.PAYABLE},
    }


def _vat_code(books: Books, vat: chart.VATCode) -> Row:
    key, account = books.gl[vat.tax]
    side = "GLToClaim" if vat.tax == chart.CLAIM else "GLToPay"
    return {
        "ID": books.guid(),
        "Code": vat.code,
        "Description": vat.description,
        "Percentage": vat.percent / 100,
        "Type": "E",
        "VATTransactionType": "P" if vat.tax == chart.CLAIM else "S",
        "IsBlocked": False,
        "Country": "NL",
        side: key,
        f"{side}Code": account.code,
        f"{side}Description": account.description,
    }


def _add_periods(books: Books) -> None:
    for year in range(books.opened.year, books.before.year + 1):
        for month in range(1, 13):
            start = datetime.fromisoformat(f"{year}-{month:02d}-01")
            end = (start + timedelta(days=32)).replace(day=1) - timedelta(days=1)
            row = {"ID": books.guid(), "FinYear": year, "FinPeriod": month}
            books.add("financial_periods", row | {"StartDate": start, "EndDate": end}, books.opened)


def _add_account(books: Books, number: int, *, is_supplier: bool) -> None:
    random, day = books.random, books.day(number % 50, 400)
    trade, last = random.choice(chart.TRADES), random.choice(chart.LAST_NAMES)
    name = f"{last} {trade} {random.choice(chart.FORMS)}"
    condition = random.choice(chart.PAYMENT_CONDITIONS)
    place = _place(books)
    row: Row = {
        "ID": books.guid(),
        "Code": str(10_000 + number).rjust(CODE_WIDTH),
        "Name": name,
        "SearchCode": name.split(maxsplit=1)[0].upper(),
        "Status": "A" if is_supplier else "C",
        "Type": "A",
        "IsSales": not is_supplier,
        "IsPurchase": is_supplier,
        "IsSupplier": is_supplier,
        "Blocked": False,
        "Email": f"info{number}@voorbeeld.test",
        "Phone": f"0{random.randrange(10**8, 10**9)}",
        "VATNumber": f"NL{random.randrange(10**8, 10**9)}B01",
        "ChamberOfCommerce": str(random.randrange(10**7, 10**8)),
        "StartDate": day,
        "SalesCurrency": NATIONAL_CURRENCY,
        "PurchaseCurrency": NATIONAL_CURRENCY,
        "PaymentConditionSales": condition[0],
        "PaymentConditionSalesDescription": condition[1],
        "CreditLineSales": euros(random.randrange(0, 50) * 100_000),
        "DiscountSales": random.choice((0.0, 0.0, 0.025, 0.05)),
        "Language": "NL",
        **place,
    }
    if random.random() < 1 / 3:
        row["Remarks"] = random.choice(chart.REMARKS)
    books.add("accounts", row, day)
    _add_contacts(books, row, day)
    _add_addresses(books, row, day)


def _add_contacts(books: Books, account: Row, day: datetime) -> None:
    for number in range(books.random.randint(1, 2)):
        first, last = (books.random.choice(n) for n in (chart.FIRST_NAMES, chart.LAST_NAMES))
        row = {
            "ID": books.guid(),
            "Account": account["ID"],
            "AccountName": account["Name"],
            "AccountIsCustomer": account["IsSales"],
            "AccountIsSupplier": account["IsSupplier"],
            "FirstName": first,
            "LastName": last,
            "FullName": f"{first} {last}",
            "Initials": f"{first[0]}.",
            "Gender": books.random.choice("MVO"),
            "Email": f"{first.lower()}{books.random.randrange(1000)}@voorbeeld.test",
            "Language": "NL",
            "IsMainContact": number == 0,
            "StartDate": day,
        }
        if books.random.random() < 1 / 4:
            row["BirthDate"] = datetime.fromisoformat("1955-06-01") + timedelta(
                days=books.random.randrange(16_000)  # some before 1970: negative milliseconds
            )
        books.add("contacts", row, day)
        if number == 0:
            account["MainContact"] = row["ID"]


def _add_addresses(books: Books, account: Row, day: datetime) -> None:
    kinds = (3, 4) if books.random.random() < 1 / 3 else (3,)  # invoice; some deliver elsewhere
    for kind in kinds:
        place = {
            k: account[k] for k in ("AddressLine1", "Postcode", "City", "Country", "CountryName")
        }
        row: dict[str, Any] = {
            "ID": books.guid(),
            "Account": account["ID"],
            "AccountName": account["Name"],
            "AccountIsSupplier": account["IsSupplier"],
            "Type": kind,
            "Main": True,
            **(place if kind == kinds[0] else _place(books)),
        }
        books.add("addresses", row, day)


def _place(books: Books) -> dict[str, Any]:
    city, digits = books.random.choice(chart.CITIES)
    return {
        "AddressLine1": f"{books.random.choice(chart.STREETS)} {books.random.randint(1, 250)}",
        "Postcode": f"{digits} {books.random.choice('ABCDEFGH')}{books.random.choice('KLMNPRST')}",
        "City": city,
        "Country": "NL",
        "CountryName": "Nederland",
    }
