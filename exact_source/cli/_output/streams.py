"""Tables of many streams: a line for each entity, and the companies with a problem by name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...wording import plural
from .tables import Column, print_table

if TYPE_CHECKING:
    from rich.console import Console

MOST_ENTITIES = 20  # lines of a summary; --all shows every stream
MOST_COMPANIES = 6
# Row of the calls that serve all entities, so that the column of calls adds up to the total.
SHARED = "companies, deletions, etc."
ENTITY_COLUMNS = (
    Column("entity"),
    Column("companies", right=True, rank=2),
    Column("rows", right=True),
    Column("deleted", right=True, rank=1),
    Column("calls", right=True),
    Column("problems", right=True),
)
PROBLEM_COLUMNS = (
    Column("division"),
    Column("name", rank=1),
    Column("entity"),
    Column("status"),
    Column("code", rank=2),
    Column("error", wraps=True),
)


@dataclass(frozen=True)
class Problem:
    """A stream that needs attention.

    Attributes:
        division: Code; 0 for entities that are read once for all companies.
        entity: Name.
        status: Status of its last sync.
        code: Kind of the error, as on the page of errors; empty if there is none.
        error: The message.
    """

    division: int
    entity: str
    status: str
    code: str
    error: str


@dataclass(frozen=True)
class Sums:
    """Figures of one stream, which are added up for each entity."""

    entity: str
    division: int
    rows: int = 0
    calls: int = 0
    deleted: int = 0
    has_problem: bool = False


@dataclass
class Total:
    """The totals of the streams of some entities."""

    companies: set[int] = field(default_factory=set)
    rows: int = 0
    calls: int = 0
    deleted: int = 0
    problems: int = 0

    def add(self, sums: Sums) -> None:
        """Count a stream."""
        self.companies |= {sums.division} - {0}
        self.rows += sums.rows
        self.calls += sums.calls
        self.deleted += sums.deleted
        self.problems += sums.has_problem


def entity_table(
    console: Console, streams: Sequence[Sums], shared_calls: int = 0, shared: str = SHARED
) -> int:
    """Print a line for each entity; if there are many, those with problems and with most rows.

    Args:
        console: Console to print on.
        streams: Figures of the streams.
        shared_calls: Calls that none of these streams counts, such as those for the list of companies.
        shared: Name of the row of these calls.

    Returns:
        The number of lines.
    """
    totals: defaultdict[str, Total] = defaultdict(Total)
    for sums in streams:
        totals[sums.entity].add(sums)
    shown = list(totals)
    if len(shown) > MOST_ENTITIES:
        ranked = sorted(shown, key=lambda name: (-totals[name].problems, -totals[name].rows))
        first = set(ranked[: MOST_ENTITIES - 1])
        shown = [name for name in shown if name in first]
    rows = [row_of(name, totals[name]) for name in sorted(shown)]
    if others := [name for name in totals if name not in shown]:
        rest = Total()
        for sums in streams:
            if sums.entity in others:
                rest.add(sums)
        rows.append(row_of(f"{len(others)} others", rest))
    if shared_calls:
        rows.append([shared, None, None, None, shared_calls, None])
    return print_table(console, ENTITY_COLUMNS, rows)


def row_of(name: str, total: Total) -> list[object]:
    """Values of a line; absent values are ``None``."""
    return [
        name,
        len(total.companies) or None,
        total.rows,
        total.deleted or None,
        total.calls,
        total.problems or None,
    ]


def show_companies(
    console: Console,
    problems: Sequence[Problem],
    names: Mapping[int, str],
    most: int = MOST_COMPANIES,
) -> int:
    """Print the companies with a problem: code, name, and problem.

    Args:
        console: Console to print on.
        problems: Streams with a problem.
        names: Division -> name of the company.
        most: Number of companies to print; one more is printed instead of a line about it.

    Returns:
        The number of lines.
    """
    by_company: defaultdict[int, list[Problem]] = defaultdict(list)
    for problem in problems:
        by_company[problem.division].append(problem)
    if not by_company:
        return 0
    companies = [code for code in by_company if code]
    limit = most + (len(by_company) == most + 1)
    shown = list(by_company)[:limit]
    title = (
        f"{plural(len(companies), 'company', 'companies')} with problems"
        if companies
        else "problems"
    )
    console.print()
    console.print(title, style="bold")
    columns = (Column("division"), Column("name"), Column("problems", wraps=True))
    more = len(by_company) - len(shown)
    rows = [
        [str(code or ""), names.get(code), in_words(by_company[code], brief=more > 0)]
        for code in shown
    ]
    printed = 2 + print_table(console, columns, rows)
    if more:
        console.print(f"and {more:,} more; --problems shows all of them")
    return printed + (more > 0)


def in_words(problems: Sequence[Problem], *, brief: bool = False) -> str:
    """The problems of a company: ``2 refused (journals, items), 1 failed (accounts)``.

    Args:
        problems: The problems.
        brief: Leave the entities out if there are several kinds: ``2 refused, 1 failed``.
    """
    by_status: defaultdict[str, list[str]] = defaultdict(list)
    for problem in problems:
        by_status[problem.status].append(problem.entity)
    if brief and len(by_status) > 1:
        return ", ".join(f"{len(entities)} {status}" for status, entities in by_status.items())
    return ", ".join(
        f"{len(entities)} {status} ({some(sorted(entities))})"
        for status, entities in by_status.items()
    )


def some(names: Sequence[str], most: int = 2) -> str:
    """The first names, and the number of others."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def print_problems(console: Console, problems: Sequence[Problem], names: Mapping[int, str]) -> None:
    """Print a line for each stream with a problem."""
    if not problems:
        console.print("no problems")
        return
    rows = [
        [str(p.division or ""), names.get(p.division), p.entity, p.status, p.code, p.error]
        for p in problems
    ]
    print_table(console, PROBLEM_COLUMNS, rows)


def value_range(values: Iterable[int]) -> str:
    """``4,321 to 4,990``, or one number if all are the same."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
