"""Injected faults: which calls fail, and how, so that clients can be tested against failures.

Kinds of data calls: any status such as ``408 429 500 503 599`` (empty body, no limit headers; ``302`` leads
to the login page), ``html`` (a page with status 200), ``html-login`` (the login page with status 200),
``html-401`` (the same with 401), ``empty`` (status 200), ``drop`` (the connection is closed),
``truncate``, ``slow``, ``wrong-division`` (one row of another company, API 6.5), ``foreign-next``
(``__next`` leads to another host), ``repeat-next`` (``__next`` leads to the same page), ``empty-page``
(no rows, but a ``__next``), ``duplicate-row``, ``control-character``, ``bom``, ``foreign-redirect`` (a 302
to another host). The other host is ``settings.foreign_host``.

Kinds of token requests (API 1.4): ``token-lost`` (rotated, and the connection closed before the answer),
``token-drop`` (closed before any effect), ``token-empty``, ``token-html``, and any status such as
``token-500 token-503``; ``token-302`` leads to another host.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase
from random import Random

STATUS_DIGITS = 3
LONGEST_S = 3600.0
REPLACING = frozenset({"html", "html-login", "html-401", "empty", "drop", "foreign-redirect"})
BODY = frozenset({"truncate", "control-character", "bom"})
PAGE = frozenset({"wrong-division", "foreign-next", "repeat-next", "empty-page", "duplicate-row"})
DATA_KINDS = REPLACING | BODY | PAGE | {"slow"}
TOKEN_KINDS = frozenset({"token-lost", "token-drop", "token-empty", "token-html"})
LOGIN_ADDRESS = "/docs/Login.aspx?ReturnUrl=%2fapi"
LOGIN_PAGE = (
    "<html><head><title>Object moved</title></head><body>\r\n<h2>Object moved to "
    f'<a href="{LOGIN_ADDRESS}">here</a>.</h2>\r\n</body></html>\r\n'
)
MAINTENANCE_PAGE = (
    "<!DOCTYPE html><html><head><title>Exact Online</title></head>"
    "<body><h1>Exact Online is currently unavailable</h1></body></html>"
)


@dataclass
class Fault:
    """A rule: the calls that fail, and the kind of failure.

    Attributes:
        path: Endpoint path or a pattern such as ``bulk/*``; ``None`` for every endpoint.
        division: ``None`` for every division.
        times: Number of failures left; ``None`` for no limit.
        after: Number of matching calls that still succeed.
        probability: Probability that a matching call fails; ``None``: every call fails.
        seconds: Duration of a ``slow`` call.
    """

    kind: str
    path: str | None = None
    division: int | None = None
    times: int | None = 1
    after: int = 0
    probability: float | None = None
    seconds: float = 1.0

    @property
    def for_token(self) -> bool:
        """Whether it concerns the token endpoint."""
        return self.kind.startswith("token-")

    @property
    def status(self) -> int | None:
        """The status of the reply, if the kind is a status."""
        digits = self.kind.removeprefix("token-")
        return int(digits) if digits.isdecimal() and len(digits) == STATUS_DIGITS else None

    def concerns(self, path: str, division: int | None) -> bool:
        """Whether the rule applies to a call."""
        same_path = self.path is None or fnmatchcase(path, self.path)
        return same_path and self.division in {None, division}


class Faults:
    """The active rules, in the order of their creation."""

    def __init__(self, random: Random) -> None:
        self.rules: list[Fault] = []
        self._random = random
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Add a rule.

        Raises:
            ValueError: If there is no fault of that kind, or a number is out of range.
        """
        if fault.kind not in DATA_KINDS | TOKEN_KINDS and fault.status is None:
            known = ", ".join(sorted(DATA_KINDS | TOKEN_KINDS))
            raise ValueError(f"no fault is called {fault.kind!r}; a status, or one of {known}")
        _check_numbers(fault)
        with self._lock:
            self.rules.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all rules."""
        with self._lock:
            self.rules.clear()

    def for_call(self, path: str, division: int | None) -> list[Fault]:
        """The faults of a data call: one that replaces its reply, or any number that change it."""
        with self._lock:
            return [f for f in self.rules if not f.for_token and self._strikes(f, path, division)]

    def for_token(self) -> Fault | None:
        """The fault of a token request."""
        with self._lock:
            rules = (f for f in self.rules if f.for_token and self._strikes(f, "", None))
            return next(rules, None)

    def _strikes(self, fault: Fault, path: str, division: int | None) -> bool:
        if not fault.concerns(path, division) or fault.times == 0:
            return False
        if fault.after > 0:
            fault.after -= 1
            return False
        if fault.probability is not None and self._random.random() >= fault.probability:
            return False
        if fault.times is not None:
            fault.times -= 1
        return True


def _check_numbers(fault: Fault) -> None:
    """Refuse invalid numbers now instead of at the next call."""
    for name, least in (("times", 0), ("after", 0), ("division", 1)):
        value = getattr(fault, name)
        if value is not None and (type(value) is not int or value < least):
            raise ValueError(f"{name} is a whole number, {least} or more, not {value!r}")
    for name, most in (("probability", 1.0), ("seconds", LONGEST_S)):
        value = getattr(fault, name)
        if value is not None and (type(value) not in {int, float} or not 0 <= value <= most):
            raise ValueError(f"{name} is a number from 0 to {most:g}, not {value!r}")
    if fault.path is not None and not isinstance(fault.path, str):
        raise ValueError(f"path is a text such as crm/*, not {fault.path!r}")


def parse_fault(text: str) -> Fault:
    """``429:0.01`` or ``slow=2:0.1``: a kind, its seconds, and the probability per call."""
    kind, _, chance = text.partition(":")
    kind, _, seconds = kind.partition("=")
    try:
        probability = float(chance) if chance else 1.0
        length = float(seconds) if seconds else 1.0
    except ValueError:
        raise ValueError(f"a fault reads like 429:0.01 or slow=2:0.1, not {text!r}") from None
    fault = Fault(kind, times=None, probability=probability, seconds=length)
    _check_numbers(fault)
    return fault
