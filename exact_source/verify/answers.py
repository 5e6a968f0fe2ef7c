"""Unmodified replies, for checks of their form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from ..http_dates import parse_date
from .checks import UnmeasuredError

T = TypeVar("T")

OK = 200
DATE = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")


@dataclass(frozen=True)
class Answer:
    """One reply.

    Attributes:
        headers: Header values by lower-case name.
    """

    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @cached_property
    def document(self) -> Any:
        """The JSON document.

        Raises:
            UnmeasuredError: If it is not JSON.
        """
        try:
            return json.loads(self.body.decode("utf-8-sig"))
        except ValueError:
            raise UnmeasuredError(f"the answer of {self.path} is not JSON") from None

    @cached_property
    def content(self) -> Any:
        """The value of ``d``."""
        document = self.document
        if not isinstance(document, dict) or "d" not in document:
            raise UnmeasuredError(f"the answer of {self.path} has no d")
        return document["d"]

    @property
    def is_bare(self) -> bool:
        """Whether ``d`` is the list of rows."""
        return isinstance(self.content, list)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows; none if ``results`` is null, which the check of empty lists reports."""
        if not self.is_bare and self.content.get("results", ...) is None:
            return []
        found = self.content if self.is_bare else self.content.get("results")
        if not isinstance(found, list):
            raise UnmeasuredError(f"the answer of {self.path} has no list of rows")
        return found

    @property
    def next(self) -> str | None:
        """The next link, unmodified."""
        return None if self.is_bare else self.content.get("__next")

    @property
    def count(self) -> Any:
        """``__count``, unmodified; ``None`` if absent."""
        return None if self.is_bare else self.content.get("__count")

    def column(self, name: str) -> list[Any]:
        """The values of a column, without missing ones."""
        return [row[name] for row in self.rows if row.get(name) is not None]

    def some(self, name: str) -> list[Any]:
        """The values of a column, at least one.

        Raises:
            UnmeasuredError: If no row has a value.
        """
        values = self.column(name)
        if not values:
            raise UnmeasuredError(f"no row of {self.path} has a value in {name}")
        return values

    def digits(self, name: str) -> list[int]:
        """The milliseconds of a date column; at least one value."""
        found = [DATE.fullmatch(str(value)) for value in self.some(name)]
        if not all(found):
            raise UnmeasuredError(f"{name} of {self.path} is not in the form /Date(ms)/")
        return [int(match[1]) for match in found if match]

    def number(self, header: str) -> int | None:
        """The value of a header as an integer; ``None`` if it is not one."""
        text = self.headers.get(header, "").strip()
        return int(text) if text.lstrip("-").isdigit() else None

    @property
    def server_time(self) -> float:
        """The ``Date`` header in seconds since the epoch."""
        found = parse_date(self.headers.get("date"))
        if found is None:
            raise UnmeasuredError("the answer has no Date header")
        return found


@dataclass
class Answers:
    """All answers by question name.

    Attributes:
        log: All replies, in the order of the calls.
        missing: Reason why a question has no answer, by question name.
        accepted: Properties of queries that were accepted, such as ``$orderby of crm/Accounts``.
        refused: Status with which a property was refused, by property.
        derived: Values that several checks compute from the answers.
        site: Origin of the site.
        division: Code of the company.
    """

    site: str
    division: int
    got: dict[str, Answer] = field(default_factory=dict)
    log: list[Answer] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    refused: dict[str, int] = field(default_factory=dict)
    derived: dict[str, Any] = field(default_factory=dict)

    def take(self, name: str, answer: Answer) -> None:
        """Keep the answer to a question."""
        self.got[name] = answer
        self.log.append(answer)

    def lack(self, name: str, why: str) -> None:
        """Keep the reason why a question has no answer."""
        self.missing[name] = why

    def accept(self, properties: Iterable[str]) -> None:
        """Note properties of a query that was accepted."""
        self.accepted.update(properties)

    def refuse(self, name: str, status: int) -> None:
        """Note the status with which a property was refused."""
        self.refused[name] = status

    def derive(self, name: str, compute: Callable[[], T]) -> T:
        """A value that several checks use; computed once."""
        if name not in self.derived:
            self.derived[name] = compute()
        found: T = self.derived[name]
        return found

    def any_status(self, name: str) -> Answer:
        """An answer of any status.

        Raises:
            UnmeasuredError: If there is none; the message gives the reason.
        """
        if name not in self.got:
            raise UnmeasuredError(self.missing.get(name, "not asked"))
        return self.got[name]

    def __getitem__(self, name: str) -> Answer:
        """An answer with status 200.

        Raises:
            UnmeasuredError: If there is none; the message gives the reason.
        """
        answer = self.any_status(name)
        if answer.status != OK:
            raise UnmeasuredError(f"{answer.path} was refused with {answer.status}")
        return answer

    def has(self, name: str) -> bool:
        """Whether there is an answer with status 200."""
        return name in self.got and self.got[name].status == OK

    def good(self) -> list[Answer]:
        """All answers of the company with status 200, in the order of the calls."""
        return [a for a in self.log if a.status == OK and a.path != "current/Me"]
