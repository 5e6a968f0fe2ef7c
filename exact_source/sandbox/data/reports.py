"""Endpoints whose rows are computed from others when they are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..clock import wall_clock
from ..http.errors import bad_request
from ..state import State
from .catalogue import Row
from .divisions import all_divisions, hrm_divisions, me, recent_divisions

Report = Callable[[State, int, dict[str, Any]], list[Row]]
OPEN = 20
CURRENCY = "EUR"
BOOKED = frozenset({20, 50})
BALANCE_KEY = (
    "FinancialYear", "FinancialPeriod", "GLAccountCode", "CostCenter", "CostUnit", "Type", "Status",
)  # fmt: skip
KEY_WIDTH = 12
# Age groups of open items: number, days overdue, name.
AGE_GROUPS = (
    (1, 0, "Niet vervallen"),
    (2, 30, "0 - 30 dagen"),
    (3, 60, "31 - 60 dagen"),
    (4, 10**6, "> 60 dagen"),
)
STOCK_COLUMNS = {
    "InStock": "CurrentStock",
    "FreeStock": "FreeStock",
    "ReservedStock": "ReservedStock",
    "ProjectedStock": "ProjectedStock",
}
LIST_COLUMNS = (
    "AccountCode", "AccountName", "Description", "DueDate", "EntryNumber", "InvoiceDate", "InvoiceNumber",
    "JournalDescription", "YourRef",
)  # fmt: skip


def open_items(entity: str) -> Report:
    """``ReceivablesList`` or ``PayablesList``, and their forms by account and age group."""

    def rows(state: State, division: int, parameters: dict[str, Any]) -> list[Row]:
        today = wall_clock(state.clock.now())
        return [
            item
            for item in _open_items(state, division, entity)
            if parameters.get("accountId") in {None, item["AccountId"]}
            and parameters.get("ageGroup") in {None, _age_group(item, today)}
        ]

    return rows


def aging_list(entity: str) -> Report:
    """``AgingReceivablesList`` or ``AgingPayablesList``: a row per account, a column per age group."""

    def rows(state: State, division: int, parameters: dict[str, Any]) -> list[Row]:
        today, accounts = wall_clock(state.clock.now()), dict[str, Row]()
        for item in _open_items(state, division, entity):
            group = _age_group(item, today)
            if parameters.get("ageGroup") not in {None, group}:
                continue
            row = accounts.setdefault(item["AccountId"], _aging_row(item))
            for column in (f"AgeGroup{group}Amount", "TotalAmount"):
                row[column] = round(row[column] + item["Amount"], 2)
        return list(accounts.values())

    return rows


def aging_overview(state: State, division: int, parameters: dict[str, Any]) -> list[Row]:
    """``AgingOverview``, of all accounts or of one."""
    today, account = wall_clock(state.clock.now()), parameters.get("accountId")
    sums: defaultdict[tuple[str, int], float] = defaultdict(float)
    for entity in ("receivables", "payments"):
        for item in _open_items(state, division, entity):
            if account in {None, item["AccountId"]}:
                sums[entity, _age_group(item, today)] += item["Amount"]
    return [
        {
            "AgeGroup": number,
            "AgeGroupDescription": text,
            "AmountReceivable": round(sums["receivables", number], 2),
            "AmountPayable": round(sums["payments", number], 2),
            "CurrencyCode": CURRENCY,
        }
        for number, _, text in AGE_GROUPS
    ]


def outstanding_invoices(state: State, division: int, _: dict[str, Any]) -> list[Row]:
    """``OutstandingInvoicesOverview``: one row for the one currency."""
    today, row = wall_clock(state.clock.now()), Row(CurrencyCode=CURRENCY)
    for entity, name in (("receivables", "Receivable"), ("payments", "Payable")):
        items = _open_items(state, division, entity)
        overdue = [item for item in items if item["DueDate"] < today]
        for prefix, chosen in (("Outstanding", items), ("Overdue", overdue)):
            row[f"{prefix}{name}InvoiceAmount"] = _sum(item["Amount"] for item in chosen)
            row[f"{prefix}{name}InvoiceCount"] = float(len(chosen))
    return [row]


def profit_and_loss(state: State, division: int, _: dict[str, Any]) -> list[Row]:
    """``ProfitLossOverview``: one row about this year and the year before."""
    today = wall_clock(state.clock.now())
    row: Row = {"CurrencyCode": CURRENCY, "CurrentYear": today.year, "CurrentPeriod": today.month}
    row |= {"PreviousYear": today.year - 1, "PreviousYearPeriod": today.month}
    lines = _ledger(state, division)
    for year, name in ((today.year, "Current"), (today.year - 1, "Previous")):
        of_year = [line for line in lines if line["FinancialYear"] == year]
        of_period = [line for line in of_year if line["FinancialPeriod"] == today.month]
        period = "CurrentPeriod" if name == "Current" else "PreviousYearPeriod"
        for column, chosen in ((f"{name}Year", of_year), (period, of_period)):
            revenue = -_sum(line["AmountDC"] for line in chosen if line["GLAccountCode"][0] == "8")
            costs = _sum(line["AmountDC"] for line in chosen if line["GLAccountCode"][0] in "479")
            row[f"Revenue{column}"], row[f"Costs{column}"] = revenue, costs
            row[f"Result{column}"] = round(revenue - costs, 2)
    return [row]


def revenue(state: State, division: int, parameters: dict[str, Any]) -> list[Row]:
    """``RevenueList``: revenue per month of this year or of the requested year."""
    year = parameters.get("year", wall_clock(state.clock.now()).year)
    sums: defaultdict[int, float] = defaultdict(float)
    for line in _ledger(state, division):
        if line["FinancialYear"] == year and line["GLAccountCode"].startswith("8"):
            sums[line["FinancialPeriod"]] -= line["AmountDC"]
    return [
        {"Year": year, "Period": period, "Amount": round(amount, 2)}
        for period, amount in sorted(sums.items())
    ]


def reporting_balance(state: State, division: int, parameters: dict[str, Any]) -> list[Row]:
    """``ReportingBalance``: sums of open and processed lines by the columns of ``BALANCE_KEY`` (API 8.3)."""
    groups: dict[tuple[Any, ...], Row] = {}
    accounts = state.store.table(division, "gl_accounts").rows
    for line in _ledger(state, division):
        if parameters.get("reportingYear") not in {None, line["FinancialYear"]}:
            continue
        if line.get("Status") not in BOOKED:
            continue
        key = tuple(str(line.get(column, "")).rjust(KEY_WIDTH) for column in BALANCE_KEY)
        row = groups.get(key)
        if row is None:
            row = groups[key] = _balance_row(line, accounts.get((line.get("GLAccount"),), {}))
        side = "AmountDebit" if line["AmountDC"] > 0 else "AmountCredit"
        row[side] = round(row[side] + abs(line["AmountDC"]), 2)
        row["Amount"] = round(row["Amount"] + line["AmountDC"], 2)
        row["Count"] += 1
    return [row | {"ID": number} for number, (_, row) in enumerate(sorted(groups.items()), 1)]


def journal_status(state: State, division: int, _: dict[str, Any]) -> list[Row]:
    """``JournalStatusList``: the periods in which each journal has entries."""
    found = {
        (line["JournalCode"], line["FinancialYear"], line["FinancialPeriod"]): line
        for line in _ledger(state, division)
    }
    return [
        {
            "Journal": journal,
            "Year": year,
            "Period": period,
            "JournalDescription": line.get("JournalDescription"),
            "Status": 0,
            "StatusDescription": "Open",
        }
        for (journal, year, period), line in sorted(found.items())
    ]


def stock_position(state: State, division: int, parameters: dict[str, Any]) -> list[Row]:
    """``read/logistics/StockPosition``: the stock of an item in all warehouses."""
    sums: dict[str, Row] = {}
    for position in state.store.table(division, "stock_positions").rows.values():
        item = position.get("ItemId")
        if item is None or parameters.get("itemId") not in {None, item}:
            continue
        row = sums.setdefault(item, {"ItemId": item, "PlanningIn": 0.0, "PlanningOut": 0.0})
        for column, stored in STOCK_COLUMNS.items():
            row[column] = row.get(column, 0.0) + position.get(stored, 0.0)
    return list(sums.values())


def sync_timestamp(state: State, division: int, parameters: dict[str, Any]) -> list[Row]:
    """``SyncTimestamp``: the first row of a feed that was changed on or after a date (API 4.3)."""
    if not parameters:
        return []
    feeds = (e for e in state.catalogue if e.start_date and e.name == parameters["endPoint"])
    endpoint = next(feeds, None)
    if endpoint is None:
        raise bad_request("Bad Request - The value of endPoint is not supported.")
    rows = state.store.table(division, endpoint.entity).rows.values()
    later = [row for row in rows if row["Modified"] >= parameters["modified"]]
    if not later:
        return []
    first = min(later, key=lambda row: (row["Modified"], row["Timestamp"]))
    return [
        {
            "Modified": first["Modified"],
            "API": endpoint.name,
            "TimeStampAsBigInt": first["Timestamp"],
        }
    ]


def _open_items(state: State, division: int, entity: str) -> list[Row]:
    rows = state.store.table(division, entity).rows.values()
    found = [
        {column: row.get(column) for column in LIST_COLUMNS}
        | {
            "HID": int(row["ID"][:8], 16),
            "Id": row["ID"],
            "AccountId": row.get("Account"),
            "Amount": row.get("AmountDC", 0.0),
            "AmountInTransit": 0.0,
            "CurrencyCode": row.get("Currency", CURRENCY),
            "JournalCode": row.get("Journal"),
            "DueDate": row.get("DueDate") or row["Created"],
        }
        for row in rows
        if row.get("Status", OPEN) == OPEN
    ]
    return sorted(found, key=lambda item: item["HID"])


def _ledger(state: State, division: int) -> list[Row]:
    needed = (
        "AmountDC",
        "GLAccountCode",
        "FinancialYear",
        "FinancialPeriod",
        "JournalCode",
        "Type",
    )
    rows = state.store.table(division, "transaction_lines").rows.values()
    return [row for row in rows if all(row.get(column) is not None for column in needed)]


def _age_group(item: Row, today: datetime) -> int:
    days = (today - item["DueDate"]) // timedelta(days=1)
    return next(number for number, most, _ in AGE_GROUPS if days < most)


def _aging_row(item: Row) -> Row:
    row: Row = {column: item[column] for column in ("AccountId", "AccountCode", "AccountName")}
    row |= {"CurrencyCode": CURRENCY, "TotalAmount": 0.0}
    for number, _, text in AGE_GROUPS:
        row |= {f"AgeGroup{number}": number, f"AgeGroup{number}Amount": 0.0}
        row[f"AgeGroup{number}Description"] = text
    return row


def _balance_row(line: Row, account: Row) -> Row:
    return {
        "ReportingYear": line["FinancialYear"],
        "ReportingPeriod": line["FinancialPeriod"],
        "GLAccount": line.get("GLAccount"),
        "GLAccountCode": line["GLAccountCode"],
        "GLAccountDescription": line.get("GLAccountDescription"),
        "BalanceType": account.get("BalanceType"),
        "CostCenterCode": line.get("CostCenter"),
        "CostCenterDescription": line.get("CostCenterDescription"),
        "CostUnitCode": line.get("CostUnit"),
        "CostUnitDescription": line.get("CostUnitDescription"),
        "Type": line["Type"],
        "Status": line["Status"],
        "Amount": 0.0,
        "AmountDebit": 0.0,
        "AmountCredit": 0.0,
        "Count": 0,
    }


def _sum(amounts: Iterable[float]) -> float:
    return round(sum(amounts), 2)


REPORTS: Mapping[str, Report] = {
    "all_divisions": all_divisions,
    "hrm_divisions": hrm_divisions,
    "get_most_recently_used_divisions": recent_divisions,
    "me": me,
    "receivables_list": open_items("receivables"),
    "receivables_list_by_account": open_items("receivables"),
    "receivables_list_by_age_group": open_items("receivables"),
    "receivables_list_by_account_and_age_group": open_items("receivables"),
    "payables_list": open_items("payments"),
    "payables_list_by_account": open_items("payments"),
    "payables_list_by_age_group": open_items("payments"),
    "payables_list_by_account_and_age_group": open_items("payments"),
    "aging_receivables_list": aging_list("receivables"),
    "aging_receivables_list_by_age_group": aging_list("receivables"),
    "aging_payables_list": aging_list("payments"),
    "aging_payables_list_by_age_group": aging_list("payments"),
    "aging_overview": aging_overview,
    "aging_overview_by_account": aging_overview,
    "outstanding_invoices_overview": outstanding_invoices,
    "profit_loss_overview": profit_and_loss,
    "revenue_list": revenue,
    "revenue_list_by_year": revenue,
    "revenue_list_by_year_and_status": revenue,
    "reporting_balance": reporting_balance,
    "reporting_balance_by_classification": reporting_balance,
    "journal_status_list": journal_status,
    "journal_status_by_financial_period": journal_status,
    "stock_position": stock_position,
    "sync_timestamp": sync_timestamp,
}
