"""The chart of accounts and the small tables that every Dutch company has."""

from __future__ import annotations

from typing import NamedTuple


class GLAccount(NamedTuple):
    """A general ledger account: code, name, Exact's type number, and whether it is on the balance sheet."""

    code: str
    description: str
    type: int
    balance: bool


# Names as in the Dutch reference classification (RGS). Types as Exact numbers them.
GL_ACCOUNTS = (
    GLAccount("0100", "Bedrijfsgebouwen", 30, True),
    GLAccount("0150", "Cumulatieve afschrijving bedrijfsgebouwen", 35, True),
    GLAccount("0200", "Machines en installaties", 30, True),
    GLAccount("0250", "Cumulatieve afschrijving machines", 35, True),
    GLAccount("0300", "Vervoermiddelen", 30, True),
    GLAccount("0350", "Cumulatieve afschrijving vervoermiddelen", 35, True),
    GLAccount("0400", "Inventaris", 30, True),
    GLAccount("0500", "Gestort en opgevraagd kapitaal", 50, True),
    GLAccount("0550", "Overige reserves", 52, True),
    GLAccount("0700", "Langlopende leningen", 55, True),
    GLAccount("1000", "Kas", 10, True),
    GLAccount("1100", "Rekening-courant bank", 12, True),
    GLAccount("1200", "Kruisposten", 90, True),
    GLAccount("1300", "Handelsdebiteuren", 20, True),
    GLAccount("1400", "Vooruitbetaalde kosten", 32, True),
    GLAccount("1500", "Af te dragen btw hoog", 24, True),
    GLAccount("1510", "Af te dragen btw laag", 24, True),
    GLAccount("1520", "Te vorderen btw", 24, True),
    GLAccount("1600", "Handelscrediteuren", 22, True),
    GLAccount("1700", "Loonheffingen", 100, True),
    GLAccount("1900", "Nog te ontvangen facturen", 60, True),
    GLAccount("3000", "Voorraad handelsgoederen", 40, True),
    GLAccount("4000", "Lonen en salarissen", 121, False),
    GLAccount("4100", "Huisvestingskosten", 121, False),
    GLAccount("4200", "Kantoorkosten", 121, False),
    GLAccount("4300", "Autokosten", 121, False),
    GLAccount("4400", "Verkoopkosten", 121, False),
    GLAccount("4500", "Algemene kosten", 121, False),
    GLAccount("4600", "Automatiseringskosten", 121, False),
    GLAccount("4800", "Afschrijvingskosten", 122, False),
    GLAccount("7000", "Inkoopwaarde van de omzet", 111, False),
    GLAccount("8000", "Netto-omzet hoog tarief", 110, False),
    GLAccount("8010", "Netto-omzet laag tarief", 110, False),
    GLAccount("8020", "Netto-omzet buiten Nederland", 110, False),
    GLAccount("9000", "Rentebaten", 120, False),
    GLAccount("9100", "Rentelasten", 120, False),
)
BANK, RECEIVABLE, PAYABLE, CAPITAL, STOCK = "1100", "1300", "1600", "0500", "3000"
# Half of the purchased items are sold on.
COSTS = ("4100", "4200", "4300", "4400", "4500", "4600", *("7000",) * 6)
CLAIM = "1520"


class VATCode(NamedTuple):
    """A VAT code: padded to three as Exact does, percent, accounts of the tax and of the revenue."""

    code: str
    description: str
    percent: int
    tax: str
    revenue: str


VAT_CODES = (
    VATCode("1  ", "Btw hoog 21%", 21, "1500", "8000"),
    VATCode("2  ", "Btw laag 9%", 9, "1510", "8010"),
    VATCode("0  ", "Geen btw", 0, "1500", "8020"),
)
PURCHASE_VAT = VATCode("5  ", "Te vorderen btw hoog 21%", 21, CLAIM, "7000")


class Journal(NamedTuple):
    """A journal: code, name, Exact's type number, its general ledger account."""

    code: str
    description: str
    type: int
    gl_account: str


SALES_JOURNAL = Journal("70", "Verkoopboek", 20, RECEIVABLE)
PURCHASE_JOURNAL = Journal("60", "Inkoopboek", 22, PAYABLE)
BANK_JOURNAL = Journal("20", "Bankboek", 12, BANK)
GENERAL_JOURNAL = Journal("90", "Memoriaal", 90, "1200")
JOURNALS = (
    Journal("10", "Kasboek", 10, "1000"),
    BANK_JOURNAL,
    PURCHASE_JOURNAL,
    SALES_JOURNAL,
    GENERAL_JOURNAL,
)
# code, name, days
PAYMENT_CONDITIONS = (("00", "Contant", 0), ("14", "14 dagen", 14), ("30", "30 dagen", 30))
# code as Exact pads it, name, type
UNITS = (
    ("stuk    ", "Stuk", "O"),
    ("doos    ", "Doos", "O"),
    ("kg", "Kilogram", "W"),
    ("uur", "Uur", "T"),
)
ITEM_GROUPS = (
    ("KOF", "Koffie en thee"),
    ("APP", "Apparatuur"),
    ("ONB", "Onderdelen"),
    ("DST", "Diensten"),
)
WAREHOUSES = (("1", "Hoofdmagazijn"), ("2", "Magazijn Zuid"))
CITIES = (
    ("Amsterdam", "1012"),
    ("Rotterdam", "3011"),
    ("'s-Gravenhage", "2511"),
    ("Utrecht", "3511"),
    ("Groningen", "9711"),
    ("Enschede", "7511"),
    ("Maastricht", "6211"),
    ("Oss", "5341"),
)
STREETS = ("Dorpsstraat", "Kerkweg", "Stationsplein", "Industrieweg", "Singel", "Oude Gracht")
FIRST_NAMES = ("Anna", "Bram", "Céline", "Daan", "Eva", "Finn", "Güler", "Hugo", "Iris", "Joost")
LAST_NAMES = (
    "Jansen",
    "de Vries",
    "Bakker",
    "van den Berg",
    "Özdemir",
    "Smit",
    "Meijer",
    "D'Hondt",
)
TRADES = ("Bouw", "Horeca", "Techniek", "Advies", "Transport", "Zorg", "Media", "Groen")
FORMS = ("B.V.", "B.V.", "N.V.", "V.O.F.", "& Zn.")
# Texts that break careless parsers: quotes, markup, line ends, leading and trailing spaces, other scripts.
REMARKS = (
    "Belt altijd voor 10.00 uur",
    'Let op: <b>spoed</b> & "vandaag"',
    "  adres achter;\r\nbel aan de zijkant\t ",
    "Naïef café – €5 korting 😀",
    "Date: zie /Date(0)/ in 'oude' systeem",
)
GOODS = (
    "Espresso bonen",
    "Filterkoffie",
    "Groene thee",
    "Maler",
    "Waterfilter",
    "Pakking",
    "Reiniger",
)
