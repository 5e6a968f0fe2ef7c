"""Words, dates and numbers of the page, in English or Dutch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

import pendulum

from ..clock import local_time

Code = Literal["en", "nl"]
TEN_MILLION = 10_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400

_DUTCH: Mapping[str, str] = {
    "Revenue, 12 months": "Omzet, 12 maanden",
    "on the year before": "ten opzichte van het jaar ervoor",
    "Result {year} to {month}": "Resultaat {year} t/m {month}",
    "{amount} in {year} to {month}": "{amount} in {year} t/m {month}",
    "{year} to {month}": "{year} t/m {month}",
    "{year} in full": "heel {year}",
    "Cash and bank": "Kas en bank",
    "end of {month} {year}": "eind {month} {year}",
    "Receivables": "Debiteuren",
    "Payables": "Crediteuren",
    "overdue": "vervallen",
    "nothing open": "niets open",
    "{count} open item": "{count} open post",
    "{count} open items": "{count} open posten",
    "on {day}": "op {day}",
    "Order backlog": "Orderportefeuille",
    "{count} order": "{count} order",
    "{count} orders": "{count} orders",
    "{amount} late": "{amount} te laat",
    "Stock at cost": "Voorraad tegen kostprijs",
    "{count} item": "{count} artikel",
    "{count} items": "{count} artikelen",
    "Last sync": "Laatste synchronisatie",
    "last sync {ago}": "laatste synchronisatie {ago}",
    "{count} call": "{count} aanroep",
    "{count} calls": "{count} aanroepen",
    "{count} row": "{count} regel",
    "{count} rows": "{count} regels",
    "Key figures": "Kerncijfers",
    "Books of {count} companies": "De boeken van {count} administraties",
    "and {count} more": "en {count} andere",
    "{count} others": "{count} andere",
    "Companies in {currency}": "Administraties in {currency}",
    "Revenue by month": "Omzet per maand",
    "Booked on revenue accounts, without VAT, in {currency}.": (
        "Geboekt op omzetrekeningen, zonder btw, in {currency}."
    ),
    "The current month is incomplete and therefore paler.": (
        "De lopende maand is onvolledig en daarom lichter."
    ),
    "Profit and loss": "Winst en verlies",
    "Whole {currency}; costs are negative. Open a line for its accounts.": (
        "In hele {currency}; kosten zijn negatief. Open een regel voor de rekeningen."
    ),
    "Gross margin": "Brutomarge",
    "Operating result": "Bedrijfsresultaat",
    "Result": "Resultaat",
    "{name} by age": "{name} naar ouderdom",
    "Open": "Open",
    "Not due": "Niet vervallen",
    "1–30 days": "1–30 dagen",
    "31–60 days": "31–60 dagen",
    "61–90 days": "61–90 dagen",
    "Over 90 days": "Meer dan 90 dagen",
    "Customers with most revenue": "Klanten met de meeste omzet",
    "Revenue {months}, and the share of the total.": "Omzet {months}, en het deel van het geheel.",
    "No revenue in these months.": "Geen omzet in deze maanden.",
    "Overdue customers": "Klanten die te laat zijn",
    "Customers by overdue amount, with the age of the oldest item.": (
        "Klanten naar vervallen bedrag, met de ouderdom van de oudste post."
    ),
    "Customer": "Klant",
    "Company": "Administratie",
    "Overdue": "Vervallen",
    "Days": "Dagen",
    "No customer has overdue items.": "Geen klant heeft vervallen posten.",
    "{count} companies": "{count} administraties",
    "Balance sheet": "Balans",
    "End of {month} {year}, whole {currency}.": "Eind {month} {year}, in hele {currency}.",
    "Assets": "Activa",
    "Equity and liabilities": "Passiva",
    "Companies": "Administraties",
    "Revenue {months} by company; the largest first.": (
        "Omzet {months} per administratie; de grootste eerst."
    ),
    "Revenue": "Omzet",
    "Share": "Deel",
    "All {count} companies": "Alle {count} administraties",
    "Sync health": "Stand van de synchronisatie",
    "The age of the oldest table of each company, the number of its tables, how many were never loaded, and "
    "today's calls (UTC) out of Exact's {limit} a day. The company with the oldest table comes first.": (
        "Hoe oud de oudste tabel van elke administratie is, hoeveel tabellen ze heeft, hoeveel "
        "nooit zijn geladen, en de aanroepen van vandaag (UTC) van de {limit} per dag van Exact. De "
        "administratie die het verst achterloopt staat bovenaan."
    ),
    "Not available (no module, right or scope)": "Niet beschikbaar (geen module, recht of scope)",
    "{entities} of {companies}": "{entities} van {companies}",
    "failed": "mislukt",
    "refused": "geweigerd",
    "incomplete": "onvolledig",
    "waiting": "wacht",
    "and {count} more messages; see exact-source status --problems": (
        "en {count} andere meldingen; zie exact-source status --problems"
    ),
    "Complete as of": "Volledig tot",
    "Tables": "Tabellen",
    "Rows, last sync": "Regels, laatste synchronisatie",
    "Calls today": "Aanroepen vandaag",
    "never": "nooit",
    "{count} never": "{count} nooit",
    "Latest syncs": "Laatste synchronisaties",
    "Began": "Begin",
    "Took": "Duur",
    "Calls": "Aanroepen",
    "Rows": "Regels",
    "Deleted": "Verwijderd",
    "{count} failed": "{count} mislukt",
    "No journal entries are loaded yet. Load some with": "Er zijn nog geen boekingen geladen. Laad ze met",
    "Made by exact-source on {at} from {source}. Entries that are not processed yet are included. No amounts "
    "are converted between currencies or eliminated between companies.": (
        "Gemaakt door exact-source op {at} uit {source}. Boekingen die nog niet verwerkt zijn tellen mee; er "
        "wordt niets omgerekend tussen valuta's of weggestreept tussen administraties."
    ),
    "the tables that dbt built": "de tabellen die dbt heeft gemaakt",
    "the loaded tables": "de geladen tabellen",
    # Sections of the dbt package.
    "Fixed assets": "Vaste activa",
    "Inventory": "Voorraden",
    "Other assets": "Overige activa",
    "Equity": "Eigen vermogen",
    "Long term debt": "Langlopende schulden",
    "Prepayments of customers": "Vooruitbetalingen van klanten",
    "Taxes": "Belastingen",
    "Other liabilities": "Overige schulden",
    "Cost of goods": "Kostprijs van de omzet",
    "Personnel": "Personeel",
    "Operating costs": "Bedrijfskosten",
    "Depreciation": "Afschrijvingen",
    "Interest": "Rente",
    "Other result": "Overig resultaat",
    "Exceptional": "Bijzondere posten",
    "Income taxes": "Belasting over het resultaat",
}


@dataclass(frozen=True)
class Language:
    """Words and formats of one language.

    Attributes:
        code: Value of the attribute ``lang``.
        thousands: Separator between groups of three digits.
        point: Decimal separator.
        after_symbol: Separator between a symbol such as ``€`` and the amount.
        words: English text -> translation; without one, the text stays English.
    """

    code: Code
    thousands: str
    point: str
    after_symbol: str = ""
    words: Mapping[str, str] = field(default_factory=dict)

    def text(self, english: str, **values: object) -> str:
        """A translated text with its values."""
        text = self.words.get(english, english)
        return text.format(**values) if values else text

    def counted(self, count: int, one: str, more: str) -> str:
        """A number with its noun, in the singular for 1."""
        return self.text(one if count == 1 else more, count=self.number(count))

    # -- numbers -------------------------------------------------------------------------------

    def number(self, value: Decimal | float, decimals: int = 0) -> str:
        """A number with separators and a real minus sign."""
        text = f"{abs(value):,.{decimals}f}"
        sign = "−" if value < 0 and text.strip("0.,") else ""
        return sign + text.translate({ord(","): self.thousands, ord("."): self.point})

    def money(self, amount: Decimal, symbol: str = "") -> str:
        """A whole amount."""
        return self._with_symbol(self.number(amount), symbol)

    def figure(self, amount: Decimal, symbol: str = "") -> str:
        """An amount for a small card: in millions from ten million on."""
        if abs(amount) < TEN_MILLION:
            return self.money(amount, symbol)
        return self._with_symbol(self.number(amount / 1_000_000, 1) + "M", symbol)

    def _with_symbol(self, text: str, symbol: str) -> str:
        space = "\N{NO-BREAK SPACE}" if len(symbol) > 1 else self.after_symbol
        sign = "−" if text.startswith("−") else ""
        return f"{sign}{symbol}{space if symbol else ''}{text.removeprefix('−')}"

    def percent(self, fraction: Decimal, *, sign: bool = False) -> str:
        """A fraction in percent."""
        plus = "+" if sign and fraction >= 0 else ""
        return f"{plus}{self.number(fraction * 100, 1)}%"

    def short(self, value: float) -> str:
        """A number for a scale: ``1.5M``, ``20k``, ``300``."""
        for size, suffix in ((1e9, "bn"), (1e6, "M"), (1e3, "k")):
            if abs(value) >= size:
                return self._plain(value / size) + suffix
        return self._plain(value)

    def _plain(self, value: float) -> str:
        return f"{value:.4g}".replace("-", "−").replace(".", self.point)

    # -- time ----------------------------------------------------------------------------------

    def day(self, day: date) -> str:
        """``10 March 2026``."""
        return self._written(day, "D MMMM YYYY")

    def month(self, month: date) -> str:
        """``Mar 2026``."""
        return self._written(month, "MMM YYYY")

    def short_month(self, month: date) -> str:
        """``Mar``."""
        return self._written(month, "MMM")

    def moment(self, at: datetime) -> str:
        """A time in the local time zone, to the minute, with the zone."""
        written = self._written(local_time(at.timestamp()), "D MMM YYYY HH:mm")
        return f"{written} {at.astimezone().tzname()}"

    def began(self, at: datetime) -> str:
        """A time of this year in the local time zone."""
        return self._written(local_time(at.timestamp()), "D MMM HH:mm")

    def _written(self, day: date, form: str) -> str:
        """A date or time in a pendulum format, without the period of Dutch month abbreviations."""
        found = (
            day if isinstance(day, pendulum.Date) else pendulum.date(day.year, day.month, day.day)
        )
        return found.format(form, locale=self.code).replace(".", "")

    def span(self, length: timedelta) -> str:
        """A duration: ``45 s``, ``3 min``, ``2 h 5 min``."""
        seconds = max(0, round(length.total_seconds()))
        if seconds < MINUTE_S:
            return f"{seconds} s"
        hours, minutes = divmod(seconds // MINUTE_S, 60)
        hour = "u" if self.code == "nl" else "h"
        return f"{hours} {hour} {minutes} min" if hours else f"{minutes} min"

    def ago(self, age: timedelta) -> str:
        """A duration in its largest unit."""
        seconds = max(0.0, age.total_seconds())
        one, more, after, now = _AGO[self.code]
        for size, unit in ((DAY_S, 0), (HOUR_S, 1)):
            count = int(seconds // size)
            if count:
                return f"{count} {(more if count > 1 else one)[unit]} {after}"
        minutes = int(seconds // MINUTE_S)
        return f"{minutes} min {after}" if minutes else now


# One day and hour, several of them, what follows, and "just now".
_AGO: Mapping[str, tuple[tuple[str, str], tuple[str, str], str, str]] = {
    "en": (("day", "hour"), ("days", "hours"), "ago", "just now"),
    "nl": (("dag", "uur"), ("dagen", "uur"), "geleden", "zojuist"),
}
ENGLISH = Language(
    "en",
    ",",
    ".",
)  # fmt: skip
DUTCH = Language(
    "nl",
    ".",
    ",",
    "\N{NO-BREAK SPACE}",
    _DUTCH,
)  # fmt: skip
LANGUAGES: Mapping[str, Language] = {"en": ENGLISH, "nl": DUTCH}
