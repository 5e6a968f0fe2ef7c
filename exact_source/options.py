"""The user's options and their defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

import pendulum

from .catalogue.feeds import Route
from .clock import DUTCH
from .errors import ConfigurationError
from .personal_data import NO_CHOICE, PersonalData

Deletes = Literal["hard", "soft", "ignore"]
StartBy = Literal["modified", "timestamp"]
TableFormat = Literal["delta", "iceberg"]

# Default limits of a round, and thus of the rows that a crash can lose.
ROUND_S, ROUND_ROWS = 300.0, 1_000_000


@dataclass(frozen=True)
class Companies:
    """The companies that a user wants, by code or by name.

    Attributes:
        codes: Division codes.
        patterns: Names; ``*`` matches any characters, ``?`` matches one, and case is ignored. Without
            codes and patterns, every company is wanted.
        excluded_codes: Division codes of companies to leave out.
        excluded_patterns: Names of companies to leave out.
    """

    codes: tuple[int, ...] = ()
    patterns: tuple[str, ...] = ()
    excluded_codes: tuple[int, ...] = ()
    excluded_patterns: tuple[str, ...] = ()

    @property
    def needs_names(self) -> bool:
        """Whether the list of divisions is needed to choose the companies."""
        return bool(self.patterns or self.excluded_codes or self.excluded_patterns)

    def choose(self, names: Mapping[int, str]) -> list[int]:
        """Codes of the wanted companies: codes first, then names, or all in the order of ``names``.

        A wanted code need not be in ``names``.

        Args:
            names: Division code -> company name, for all companies that the app can see.

        Raises:
            ConfigurationError: If a name or an excluded code belongs to no company, or if no company
                is left.
        """
        wanted = list(names)
        if self.codes or self.patterns:
            named = [code for p in self.patterns for code in _matching(p, names, "divisions")]
            wanted = [*self.codes, *named]
        # A mistyped exclusion would load a company that must not be loaded.
        if unknown := [str(code) for code in self.excluded_codes if code not in names]:
            raise ConfigurationError(
                f"exclude_divisions: no company has the code {', '.join(unknown)}; see "
                "`exact-source divisions`"
            )
        excluded = set(self.excluded_codes)
        for pattern in self.excluded_patterns:
            excluded.update(_matching(pattern, names, "exclude_divisions"))
        if left := [code for code in dict.fromkeys(wanted) if code not in excluded]:
            return left
        raise ConfigurationError(
            "exclude_divisions: every company is excluded; see `exact-source divisions`"
        )

    def choose_loaded(self, names: Mapping[int, str]) -> list[int]:
        """Codes of the wanted companies, like ``choose``; all of them must be in the tables.

        Args:
            names: Division code -> company name, for all companies in the tables.

        Raises:
            ConfigurationError: If a company, or the names of all companies, are not in the tables.
        """
        if (self.patterns or self.excluded_patterns) and all(
            name in {"", str(code)} for code, name in names.items()
        ):
            raise ConfigurationError(
                "divisions: the names of companies are not in the tables; sync the entity divisions as well, "
                "or give codes"
            )
        chosen = self.choose(names)
        if missing := [str(code) for code in chosen if code not in names]:
            raise ConfigurationError(
                f"divisions: the tables have no rows of {', '.join(missing)}; see `exact-source status`"
            )
        return chosen


def _matching(pattern: str, names: Mapping[int, str], setting: str) -> list[int]:
    """Codes of the companies with such a name; ``setting`` names the option in the message."""
    found = [c for c, name in names.items() if fnmatchcase(name.casefold(), pattern.casefold())]
    if found:
        return found
    near = get_close_matches(pattern, list(names.values()), n=1)
    if not near and any(name.casefold().startswith(pattern.casefold()) for name in names.values()):
        near = [f"{pattern}*"]
    hint = f"did you mean {near[0]!r}?" if near else "see `exact-source divisions`"
    raise ConfigurationError(f"{setting}: no company is called {pattern!r}; {hint}")


def parse_companies(
    divisions: str | Iterable[int | str], exclude: str | Iterable[int | str] = ()
) -> Companies:
    """Parse the settings ``divisions`` and ``exclude_divisions``.

    Args:
        divisions: Codes and names: a list, or a text with commas between them; ``all`` means every
            company. To match a comma in a name, use a list, or write ``?`` for it in a text.
        exclude: Companies to leave out, in the same form.

    Raises:
        ConfigurationError: If ``divisions`` is empty.
    """
    wanted, unwanted = _texts(divisions), _texts(exclude)
    if not wanted:
        raise ConfigurationError(
            'divisions must be codes such as 123456, names such as "Smit*", or "all"'
        )
    if "all" in wanted:
        wanted = []
    return Companies(
        tuple(dict.fromkeys(int(t) for t in wanted if t.isdigit())),
        tuple(dict.fromkeys(t for t in wanted if not t.isdigit())),
        tuple(dict.fromkeys(int(t) for t in unwanted if t.isdigit())),
        tuple(dict.fromkeys(t for t in unwanted if not t.isdigit())),
    )


def _texts(values: str | Iterable[int | str]) -> list[str]:
    parts = values.split(",") if isinstance(values, str) else [str(value) for value in values]
    return [part.strip() for part in parts if part.strip()]


def parse_window(
    start_date: str | date | None, end_date: str | date | None
) -> tuple[int | None, int | None]:
    """Both ends of a window in wall-clock milliseconds; the end is exclusive.

    Raises:
        ConfigurationError: If one is not an ISO date, or the end is not after the start.
    """
    start_ms, end_ms = parse_start_date(start_date), parse_start_date(end_date, "end_date")
    if end_ms is not None and end_ms <= (start_ms or 0):
        raise ConfigurationError("end_date must be later than start_date")
    return start_ms, end_ms


def parse_start_date(start_date: str | date | None, setting: str = "start_date") -> int | None:
    """A date in milliseconds of the Dutch wall clock (API 3.5).

    Args:
        start_date: ISO date or time; a time with an offset is converted to Dutch time.
        setting: Name of the setting, for messages.

    Raises:
        ConfigurationError: If it is not an ISO date.
    """
    if start_date is None:
        return None
    text = start_date if isinstance(start_date, str) else start_date.isoformat()
    try:
        found: Any = pendulum.parse(text, tz=DUTCH, exact=True)  # a time with an offset keeps it
    except ValueError:
        found = None
    if not isinstance(found, pendulum.Date):
        raise ConfigurationError(f"{setting} must be a date such as 2024-01-31")
    if isinstance(found, pendulum.DateTime):
        digits = found.in_timezone(DUTCH).replace(tzinfo=pendulum.UTC)
    else:
        digits = pendulum.datetime(found.year, found.month, found.day)
    return int(digits.int_timestamp * 1000)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The user's options.

    Attributes:
        divisions: Division codes. Empty if the list of divisions is needed: for every division that the
            app can see, or if ``companies`` has names or exclusions.
        companies: The wanted companies, by code and name.
        route: Feed for all entities, or for each entity.
        deletes: How deleted rows are treated.
        start_ms: Rows that were last changed before this are not loaded: ``Modified`` in milliseconds.
        end_ms: End of a window that begins at ``start_ms``; rows changed at or after it are not loaded. A
            window neither uses nor moves the cursors, and deletes nothing. ``None`` if there is no window.
        start_by: ``modified`` filters rows by ``start_ms`` after they are read. ``timestamp`` lets sync
            feeds begin at the row version that belongs to ``start_ms``, so that older rows are not read.
        full_refresh: Entities to read from the start, regardless of their cursors.
        reconcile: Entities whose keys are compared with Exact's in this run.
        reconcile_s: Seconds between such comparisons for entities without tombstones; ``None`` for never.
        history: Entities whose earlier states are kept, in separate tables.
        utc_instants: Add ``created_utc`` and ``modified_utc``.
        raw_codes: Add columns such as ``code_raw``, with the spaces with which Exact pads codes.
        zone_slack_s: Most seconds by which the site's local time may be behind UTC.
        parameters: Setting -> parameter values of functions; they replace the values from parent tables.
        max_pages: Pages after which a round stops and its rows are loaded; ``None`` for no limit.
        round_s: Seconds after which a round stops; ``None`` for no limit.
        round_rows: Rows after which a round stops; ``None`` for no limit.
        notices: ``(entity, division)`` -> mark of the latest webhook. Only streams that were not read since
            then are read; ``None`` reads all streams.
        table_format: ``delta`` or ``iceberg`` for destinations of files; ``None`` for their default.
        change_log: Whether rows and deletions are appended, so that all states are kept.
        trust_empty: Entities for which an empty reply is accepted without a check of rights.
        personal_data: Columns that are left out or hashed.
        retry_refused: Whether to request streams again that were refused because a module, right or scope
            was missing.
        strict: Whether refused streams and blocked companies change the exit code.
    """

    divisions: tuple[int, ...] = ()
    companies: Companies = Companies()
    route: Route = "auto"
    deletes: Deletes = "hard"
    start_ms: int | None = None
    end_ms: int | None = None
    start_by: StartBy = "modified"
    full_refresh: frozenset[str] = frozenset()
    reconcile: frozenset[str] = frozenset()
    reconcile_s: float | None = None
    history: frozenset[str] = frozenset()
    utc_instants: bool = False
    raw_codes: bool = False
    zone_slack_s: float = 0.0
    parameters: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    max_pages: int | None = None
    round_s: float | None = None
    round_rows: int | None = None
    notices: Mapping[tuple[str, int], str] | None = None
    trust_empty: frozenset[str] = frozenset()
    personal_data: PersonalData = NO_CHOICE
    retry_refused: bool = False
    strict: bool = False
    table_format: TableFormat | None = None
    change_log: bool = False

    @property
    def utc_fields(self) -> tuple[str, ...]:
        """Fields that get a second column in UTC."""
        return ("Created", "Modified") if self.utc_instants else ()

    @property
    def window(self) -> str:
        """Name of the window in the state; empty if there is no window."""
        if self.end_ms is None:
            return ""
        ends = (self.start_ms or 0, self.end_ms)
        return "/".join(pendulum.from_timestamp(ms / 1000).to_datetime_string() for ms in ends)
