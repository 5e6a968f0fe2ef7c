"""Errors of the Exact Online source, grouped by what the caller can do about them.

* ExactError               -- base class, never raised itself
  + ConfigurationError     -- a setting is missing or wrong; nothing was read or written: exit 2
  + AuthenticationError    -- a person must log in again: exit 1
    + TokenStoreError      -- stored tokens cannot be read or written; they are unchanged
  + StreamError            -- one entity of one division stops for this run, the others continue
    + RefusedError         -- Exact answered 4xx: rights, module, syntax; a retry uses up the error limit
    + ContractError        -- a reply does not match the documented contract
    + RemoteError          -- timeouts, 5xx, broken bodies, after all retries
  + LoadError              -- the destination, or dlt, failed; loaded rows are kept: exit 1
  + LimitError             -- the daily calls are used up; progress is kept: exit 3
    + TooFewCallsError     -- an option allows too few calls to get any further: exit 3
    + HeldError            -- another process uses this division, pipeline, dataset or file: exit 3
    + LeaseStoreError      -- the database of the leases failed, so no calls are made: exit 3

A message says in one line what happened, where (division, entity or setting) and what to do.
It never contains a token, a secret, a row's content or the query of a URL.

The classes do not derive from dlt's exceptions: dlt wraps a resource's error twice, so its retry helper
never sees a mixed-in TerminalException, and importing dlt would slow down ``--help`` by seconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import IntEnum
from http import HTTPStatus
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of the commands, and of scripts that end with ``run_script``."""

    COMPLETE = 0
    FAILED = 1
    USAGE = 2  # or configuration
    INCOMPLETE = 3  # but safe: the next run continues
    INTERRUPTED = 130

    @property
    def status(self) -> str:
        """The word for it in JSON output: ``complete``, ``failed``, ``configuration`` and so on."""
        return "configuration" if self is ExitCode.USAGE else self.name.lower()


# Codes of streams that end without an error of a class below -> meaning.
KEYLESS, PARENT, BLOCKED, EMPTY, UNAVAILABLE, UNEXPECTED = (
    "keyless",
    "parent",
    "blocked",
    "empty",
    "unavailable",
    "unexpected",
)
STREAM_CODES = {
    KEYLESS: "Rows without a key are in `_exact_rejected`, not in their table; the others are loaded.",
    PARENT: "The parent entity was not loaded: load it as well, or run again.",
    BLOCKED: "The company is blocked at Exact Online; it is skipped.",
    EMPTY: "The answer is empty although rows are stored, and the right to read is unknown; rows were kept.",
    UNAVAILABLE: (
        "Module, right or scope is missing; requested again after 7 days, or with `--retry-refused`."
    ),
    UNEXPECTED: "An unexpected error; please report it with the message.",
}


# Terminal escapes: CSI (colours, cursor moves), OSC (titles, links) and two-character ones.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[^\[\]]?"
)
# Unicode categories that must not reach a terminal: controls, surrogates, line separators.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
CUT = "..."
# Values of the ``Reason`` header that concern all streams (API 6.1).
WHOLE_ACCOUNT = frozenset({"BlockedUser", "InactiveUser", "BlockedCustomer", "LicenseExpired"})
# Codes of streams that Exact does not offer; they do not change the exit code.
EXCLUDED = frozenset({UNAVAILABLE, BLOCKED})
LONGEST_MESSAGE = 300  # characters of a driver's message that are shown


def one_line(text: object, most: int | None = None) -> str:
    """A text on one line that is safe for a terminal: no line breaks, control characters or escapes.

    Args:
        text: A text or an error.
        most: Length in characters above which the text is shortened; ``None`` for any length.
    """
    plain = _ESCAPE.sub("", str(text))
    if not plain.isprintable():
        plain = "".join(" " if unicodedata.category(c) in _INVISIBLE else c for c in plain)
    plain = " ".join(plain.split())
    return plain if most is None or len(plain) <= most else plain[: most - len(CUT)] + CUT


def first_line(error: BaseException) -> str:
    """The first line of a driver's message; further lines may show a statement with its values."""
    lines = str(error).strip().splitlines()
    return one_line(lines[0], LONGEST_MESSAGE) if lines else type(error).__name__


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, outermost first.

    dlt wraps an error several times, each time with ``raise ... from``. An exception group was raised
    from each of its errors. An error that was merely being handled when another one was raised
    (``__context__``) is not a cause: it may have been dealt with.
    """
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                yield from causes(part)
            return
        error = error.__cause__


def root_cause(error: BaseException) -> BaseException:
    """The innermost error, which occurred first."""
    *_, first = causes(error)
    return first


def is_interrupt(error: BaseException) -> bool:
    """Whether the user or the system stopped the process.

    dlt wraps a ``KeyboardInterrupt``, and the cleanup after it may fail with another error.
    """
    return any(
        isinstance(context, KeyboardInterrupt)
        for cause in causes(error)
        for context in _with_context(cause)
    )


def _with_context(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def describe_fault(error: BaseException) -> str:
    """Class and place of an unexpected error, without its message, which may contain a row."""
    place, trace = "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "exact_source" in code.co_filename:
            place = f" in {code.co_name}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return f"unexpected {type(error).__name__}{place}; report it with this line"


class ExactError(Exception):
    """Base class of the errors that this package raises.

    Attributes:
        code: A word for the kind of error, which does not change between versions.
        exit_code: Exit code of a command that ends with it.
        remedy: General advice for this kind of error; the message has the specific one.
    """

    code: ClassVar[str] = ""
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    remedy: ClassVar[str] = ""


class ConfigurationError(ExactError):
    """A setting is missing or wrong; nothing was read or written."""

    code = "configuration"
    exit_code = ExitCode.USAGE
    remedy = "Correct the setting or option that the message names, and run again."


class AuthenticationError(ExactError):
    """The connection to Exact Online has ended; a person must log in again."""

    code = "login"
    remedy = "Run `exact-source login`; a person has to give consent again."


class TokenStoreError(AuthenticationError):
    """The token store could not be read or written; its content was not changed."""

    code = "token-store"
    remedy = (
        "Make the file or database usable again, then run again; a login is needed only "
        "if the message says so."
    )


class StreamError(ExactError):
    """One entity of one division cannot be read any further in this run.

    Attributes:
        is_permanent: Whether another run would probably fail in the same way.
    """

    is_permanent: ClassVar[bool] = True
    code = "stream"
    remedy = "The other entities are loaded; see the entity in `_exact_syncs`."


class RefusedError(StreamError):
    """Exact Online refused the call with a 4xx, which counts toward its error limit (API 2.3).

    Attributes:
        status: HTTP status.
        reason: Value of the ``Reason`` header, empty if absent.
        words: Exact's full message in the body (API 6.1); empty if there is none.
    """

    code = "refused"
    remedy = (
        "Give the user the right or the app the scope, or exclude the entity with `--entities`."
    )

    def __init__(self, message: str, *, status: int, reason: str = "", words: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.words = words

    @property
    def lacks_access(self) -> bool:
        """Whether the company lacks the module, the user the right or the app the scope.

        ``False`` for a blocked user, contract or company, which concerns every stream.
        """
        is_blocked = self.is_of_blocked_company or self.reason in WHOLE_ACCOUNT
        return self.status == HTTPStatus.FORBIDDEN and not is_blocked

    @property
    def is_of_blocked_company(self) -> bool:
        """Whether the company is blocked, usually for a while, such as during a backup."""
        return self.reason == "DivisionBlocked"


class ContractError(StreamError):
    """A reply differs from the API documentation; it was not loaded."""

    code = "contract"
    remedy = "Run again; if the error persists, report the message: Exact Online may have changed."


class RemoteError(StreamError):
    """Exact Online could not be reached, or its replies were unusable, after all retries.

    Attributes:
        resumes_at: When to try again, seconds since the epoch (UTC); ``None`` if unknown.
    """

    code = "remote"
    remedy = "Run again later; rows that were read are kept."
    is_permanent = False

    def __init__(self, message: str, *, resumes_at: float | None = None) -> None:
        super().__init__(message)
        self.resumes_at = resumes_at


class LoadError(ExactError):
    """Rows were read and could not be loaded; their cursors did not move."""

    code = "load"
    remedy = "Read the destination's message, and run again: the rows are read again."


class LimitError(ExactError):
    """No call is left before ``resumes_at``; rows that were read are kept.

    Attributes:
        resumes_at: Seconds since the epoch (UTC) from which calls are allowed again.
    """

    code = "limit"
    exit_code = ExitCode.INCOMPLETE
    remedy = "Run again once calls are allowed; the message or `resumes_at` says when."

    def __init__(self, message: str, *, resumes_at: float) -> None:
        super().__init__(message)
        self.resumes_at = resumes_at


class StoppedError(LimitError):
    """The run was stopped before this call, by a signal or by its time limit."""

    code = "stopped"
    remedy = "Nothing was lost: run again to continue."


class TooFewCallsError(LimitError):
    """An option allows fewer calls than the first table needs, so another run would end in the same way."""

    code = "too-few-calls"
    remedy = "Raise the option that the message names; running again does not help."


class HeldError(LimitError):
    """Another worker or process uses this division, pipeline, dataset or DuckDB file."""

    code = "held"
    remedy = "Nothing: the other worker does the work. Run again later."


class LeaseStoreError(HeldError):
    """The database of the leases could not be reached; no call is made without a lease."""

    code = "lease-store"
    remedy = "Make the database of `token_url` reachable again, and run again."


def own_error(error: BaseException | None) -> ExactError | None:
    """The first error of this package among the causes of an error; dlt wraps it twice."""
    return next((cause for cause in causes(error) if isinstance(cause, ExactError)), None)
