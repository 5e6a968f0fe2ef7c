"""The findings of the checks, and their exit code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...errors import ConfigurationError, ExactError, ExitCode, LimitError
from .._output.tables import local_clock

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Finding:
    """The finding of one check.

    Attributes:
        check: Subject of the check.
        state: Result of the check.
        found: Details.
        remedy: What to do; empty if nothing.
        configuration: Whether a setting is wrong.
        code: Code of the error, as on the page of errors; empty if there is none.
        resumes_at: Time at which calls are allowed again, seconds since the epoch, UTC.
    """

    check: str
    state: State
    found: str
    remedy: str = ""
    configuration: bool = False
    code: str = ""
    resumes_at: float | None = None


@dataclass
class Findings:
    """All findings, in the order of the checks."""

    all: list[Finding] = field(default_factory=list)

    def add(self, check: str, state: State, found: str, remedy: str = "", code: str = "") -> None:
        """Add the result of a check."""
        self.all.append(Finding(check, state, found, remedy, code=code))

    def fail(self, check: str, error: ExactError) -> None:
        """Add an error; the remedy follows a semicolon or colon in its message."""
        text = str(error).removeprefix(f"{check}: ")
        found, _, remedy = text.partition("; ")
        resumes_at = None
        if isinstance(error, LimitError):
            resumes_at = error.resumes_at
            remedy = remedy or f"check again after {local_clock(resumes_at)}"
        wrong = isinstance(error, ConfigurationError)
        self.all.append(Finding(check, "failed", found, remedy, wrong, error.code, resumes_at))

    @property
    def failed(self) -> list[Finding]:
        """The failed checks that prevent a sync."""
        return [f for f in self.all if f.state == "failed"]

    @property
    def exit_code(self) -> ExitCode:
        """0 if nothing failed, 2 if a setting is wrong, 3 if waiting is enough, otherwise 1."""
        if any(f.configuration for f in self.failed):
            return ExitCode.USAGE
        if self.failed and all(f.resumes_at is not None for f in self.failed):
            return ExitCode.INCOMPLETE
        return ExitCode.FAILED if self.failed else ExitCode.COMPLETE
