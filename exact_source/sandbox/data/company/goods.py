"""Items with their groups, units, warehouses, stock and prices; projects."""

from __future__ import annotations

from datetime import timedelta

from ..catalogue import Row
from . import chart
from .books import Books, euros
from .relations import NATIONAL_CURRENCY, customers, suppliers

SERVICE_GROUP = len(chart.ITEM_GROUPS) - 1


def add_goods(books: Books) -> None:
    """Items for sale, with their groups, warehouses and stock."""
    day = books.opened
    for code, description, kind in chart.UNITS:
        row = {"ID": books.guid(), "Code": code, "Description": description, "Type": kind}
        books.add("units", row | {"Active": True, "Main": int(code.startswith("stuk"))}, day)
    for index, (code, description) in enumerate(chart.ITEM_GROUPS):
        books.add(
            "item_groups",
            _item_group(books, code, description) | {"IsDefault": int(index == 0)},
            day,
        )
    for code, description in chart.WAREHOUSES:
        row = {"ID": books.guid(), "Code": code, "Description": description}
        main = {"Main": int(code == "1"), "UseStorageLocations": 0}
        books.add("warehouses", row | main, day)
    for number in range(1, max(8, min(300, books.invoices // 8)) + 1):
        _add_item(books, number)


def add_projects(books: Books) -> None:
    """Projects of customers."""
    count = max(3, min(200, books.invoices // 20))
    buyers = customers(books)
    for number in range(count):
        account, day = books.random.choice(buyers), books.day(number, count)
        row: Row = {
            "ID": books.guid(),
            "Code": f"P{number + 1:05d}",
            "Description": f"{books.random.choice(('Inrichting', 'Onderhoud', 'Advies'))} {account['Name']}",
            "Account": account["ID"],
            "AccountCode": account["Code"],
            "AccountName": account["Name"],
            "Type": books.random.choice((2, 3, 4, 5)),
            "StartDate": day,
            "BudgetedAmount": euros(books.random.randrange(100, 5000) * 1000),
            "HasWBSLines": False,
            "BlockEntry": False,
        }
        if number % 3 == 0:
            row["EndDate"] = day + timedelta(days=books.random.randint(30, 300))
        books.add("projects", row, day)


def _item_group(books: Books, code: str, description: str) -> Row:
    row: Row = {"ID": books.guid(), "Code": code, "Description": description}
    for name, gl in (("GLRevenue", "8000"), ("GLStock", chart.STOCK), ("GLCosts", "7000")):
        key, account = books.gl[gl]
        row |= {name: key, f"{name}Code": gl, f"{name}Description": account.description}
    return row


def _add_item(books: Books, number: int) -> None:
    random, day = books.random, books.day(number % 40, 400)
    place = random.randrange(len(chart.ITEM_GROUPS))
    group, service = books.tables["item_groups"][place], place == SERVICE_GROUP
    unit = chart.UNITS[-1] if service else random.choice(chart.UNITS[:-1])
    vat = chart.VAT_CODES[1 if place == 0 else 0]
    price = random.randrange(150, 95_000)
    row: Row = {
        "ID": books.guid(),
        "Code": f"ART-{number:04d}",
        "Description": "Uren monteur" if service else f"{random.choice(chart.GOODS)} {number}",
        "ItemGroup": group["ID"],
        "ItemGroupCode": group["Code"],
        "ItemGroupDescription": group["Description"],
        "Unit": unit[0],
        "UnitDescription": unit[1],
        "UnitType": unit[2],
        "StandardSalesPrice": euros(price),
        "CostPriceStandard": euros(price * 6 // 10),
        "CostPriceCurrency": NATIONAL_CURRENCY,
        "SalesVatCode": vat.code,
        "SalesVatCodeDescription": vat.description,
        "IsSalesItem": True,
        "IsPurchaseItem": not service,
        "IsStockItem": not service,
        "IsFractionAllowedItem": unit[2] != "O",
        "Stock": 0.0,
        "StartDate": day,
        **{name: group[name] for name in group if name.startswith("GL")},
    }
    if random.random() < 1 / 3:
        row["Barcode"] = str(random.randrange(10**12, 10**13))
    books.add("items", row, day)
    books.add("sales_item_prices", _price(books, row), day)
    if not service:
        _add_stock(books, row)


def _price(books: Books, item: Row) -> Row:
    return {
        "ID": books.guid(),
        "Item": item["ID"],
        "ItemCode": item["Code"],
        "ItemDescription": item["Description"],
        "Price": item["StandardSalesPrice"],
        "Currency": NATIONAL_CURRENCY,
        "Quantity": 1.0,
        "NumberOfItemsPerUnit": 1.0,
        "Unit": item["Unit"],
        "UnitDescription": item["UnitDescription"],
        "StartDate": item["StartDate"],
    }


def _add_stock(books: Books, item: Row) -> None:
    """The item's stock in each warehouse, and its supplier."""
    for warehouse in books.tables["warehouses"]:
        stock = float(books.random.randrange(0, 40))
        reserved = float(books.random.randrange(0, 5))
        item["Stock"] += stock
        where = {
            "Warehouse": warehouse["ID"],
            "WarehouseCode": warehouse["Code"],
            "WarehouseDescription": warehouse["Description"],
            "ItemCode": item["Code"],
            "ItemDescription": item["Description"],
            "CurrentStock": stock,
            "ProjectedStock": stock - reserved,
            "ReservedStock": reserved,
            "ReorderPoint": 10.0,
        }
        position = {"ID": books.guid(), "Item": item["ID"], "ItemUnit": item["Unit"], **where}
        books.add("item_warehouses", position | {"SafetyStock": 5.0}, item["StartDate"])
        position = {"ID": books.guid(), "ItemId": item["ID"], "UnitCode": item["Unit"], **where}
        books.add("stock_positions", position | {"FreeStock": stock - reserved}, item["StartDate"])
    supplier = books.random.choice(suppliers(books))
    row = {
        "ID": books.guid(),
        "Item": item["ID"],
        "ItemCode": item["Code"],
        "ItemDescription": item["Description"],
        "Supplier": supplier["ID"],
        "SupplierCode": supplier["Code"],
        "SupplierDescription": supplier["Name"],
        "MainSupplier": True,
        "PurchasePrice": item["CostPriceStandard"],
        "Currency": NATIONAL_CURRENCY,
    }
    books.add("supplier_item", row, item["StartDate"])
