"""The user's options and their defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

import pendulum

from .catalogue.feeds import Route
from .errors import ConfigurationError
from .personal_data import NO_CHOICE, PersonalData

Deletes = Literal["hard", "soft", "ignore"]
StartBy = Literal["modified", "timestamp"]
TableFormat = Literal["delta", "iceberg"]

# Default limits of a round, which bound the rows that can be lost or that wait to be loaded.
ROUND_S, ROUND_ROWS = 300.0, 1_000_000


@dataclass(frozen=True)
class Companies:
    """The companies that a user wants, by code or by name.

    Attributes:
        codes: Division codes.
        patterns: Names, in which ``*`` and ``?`` stand for any characters; case does not count. Without
            codes and patterns every company is wanted.
        excluded_codes: Division codes of companies that are left out.
        excluded_patterns: Names of companies that are left out.
    """

    codes: tuple[int, ...] = ()
    patterns: tuple[str, ...] = ()
    excluded_codes: tuple[int, ...] = ()
    excluded_patterns: tuple[str, ...] = ()

    @property
    def needs_names(self) -> bool:
        """Whether only the list of divisions tells which companies are wanted."""
        return bool(self.patterns or self.excluded_codes or self.excluded_patterns)

    def choose(self, names: Mapping[int, str]) -> list[int]:
        """Codes of the wanted companies, in the order of ``names``; wanted codes need not be in it.

        Args:
            names: Division code -> name of the company, of all that the app can see.

        Raises:
            ConfigurationError: If a name matches no company, or if no company is left.
        """
        wanted = list(names)
        if self.codes or self.patterns:
            named = [code for p in self.patterns for code in self._matching(p, names)]
            wanted = [*self.codes, *named]
        excluded = set(self.excluded_codes)
        excluded.update(c for p in self.excluded_patterns for c in self._matching(p, names))
        if left := [code for code in dict.fromkeys(wanted) if code not in excluded]:
            return left
        raise ConfigurationError(
            "divisions: every company is excluded; see `exact-source divisions`"
        )

    @staticmethod
    def _matching(pattern: str, names: Mapping[int, str]) -> list[int]:
        found = [c for c, name in names.items() if fnmatchcase(name.casefold(), pattern.casefold())]
        if found:
            return found
        near = get_close_matches(pattern, list(names.values()), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "see `exact-source divisions`"
        raise ConfigurationError(f"divisions: no company is called {pattern!r}; {hint}")


def parse_companies(
    divisions: str | Iterable[int | str], exclude: str | Iterable[int | str] = ()
) -> Companies:
    """The companies that two settings name.

    Args:
        divisions: Codes and names, separated by commas in a text; ``all`` for every company. In a list
            a name may hold a comma, in a text ``?`` stands for it.
        exclude: The same, for companies that are left out.

    Raises:
        ConfigurationError: If ``divisions`` names nothing.
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


@dataclass(frozen=True, kw_only=True)
class Options:
    """The user's options.

    Attributes:
        divisions: Codes; empty for every division that the app may see, and if names matter.
        companies: The wanted companies by code and name.
        route: Feed for all entities, or per entity.
        deletes: Treatment of deleted rows.
        start_ms: Rows older than this are not loaded: ``Modified`` digits in milliseconds.
        end_ms: With ``start_ms`` the end of a window: rows changed at it or later are left out. The window is
            read beside the cursors, and deletes nothing; ``None``: no window.
        start_by: Whether ``start_ms`` counts by ``Modified`` alone, or sync feeds that can begin at a
            ``Timestamp`` for it, so that what lies below is not read.
        full_refresh: Entities to read from the start, whatever their cursor.
        reconcile: Entities whose keys are compared in this run.
        reconcile_s: Seconds after which that is done for entities without tombstones; ``None``: never.
        history: Entities whose earlier states are kept, in tables of their own.
        utc_instants: Add ``created_utc`` and ``modified_utc``.
        raw_codes: Add columns such as ``code_raw``, with the spaces that Exact pads codes with.
        zone_slack_s: How far the site's wall clock may run behind UTC.
        parameters: Setting -> parameter values of functions, instead of those of their parents.
        round_pages: Pages after which a run stops and loads; ``None`` for no limit.
        round_s: Seconds after which a run stops in the same way.
        round_rows: Rows after which a run stops in the same way.
        notices: ``(entity, division)`` -> mark of the last webhook that said it changed: only streams
            whose rows do not cover theirs are read; ``None``: all are.
        table_format: ``delta`` or ``iceberg``, for destinations of files; ``None``: the destination's own.
        change_log: Whether rows and deletions are appended, so that all states are kept.
        trust_empty: Entities whose empty answer is believed without a check.
        personal_data: Columns that are left out or hashed.
        retry_refused: Ask for streams again that were refused for lack of a module, right or scope.
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
    round_pages: int | None = None
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
    def window(self) -> str:
        """Name of the window that is read, for the state; empty without one."""
        if self.end_ms is None:
            return ""
        ends = (self.start_ms or 0, self.end_ms)
        return "/".join(pendulum.from_timestamp(ms / 1000).to_datetime_string() for ms in ends)
