"""Checks: an assumption, the questions that test it, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from .answers import Answers

Verdict = Literal["holds", "differs", "not measured"]
# Effect of a difference on this program: none, it adapts, or it may load wrong rows or none, so that the
# difference must be reported.
Effect = Literal["nothing", "adapts", "report"]


class Seen(NamedTuple):
    """The result of a check: a verdict, and one sentence without row values."""

    verdict: Verdict
    text: str


class UnmeasuredError(Exception):
    """The answers do not decide a check; the message gives the reason."""


def holds(text: str) -> Seen:
    """A result: the assumption holds."""
    return Seen("holds", text)


def differs(text: str) -> Seen:
    """A result: the assumption is wrong for this company."""
    return Seen("differs", text)


def holds_if(condition: object, text: str, otherwise: str) -> Seen:
    """A result by a condition, with a sentence for each case."""
    return holds(text) if condition else differs(otherwise)


@dataclass(frozen=True)
class Check:
    """One assumption about Exact Online.

    Attributes:
        name: Short name that does not change between versions.
        assumption: The assumption in one sentence.
        section: Section of the API notes or of Exact's documentation.
        questions: Names of the questions whose answers decide the check.
        effect: Effect of a difference on this program.
        judge: Function that judges the answers.
    """

    name: str
    assumption: str
    section: str
    questions: tuple[str, ...]
    effect: Effect
    judge: Callable[[Answers], Seen]


@dataclass(frozen=True)
class Finding:
    """A check and its result."""

    check: Check
    seen: Seen

    @property
    def is_report(self) -> bool:
        """Whether the difference should be reported."""
        return self.seen.verdict == "differs" and self.check.effect == "report"

    @property
    def effect(self) -> str:
        """Effect of the difference; empty if there is none."""
        return self.check.effect if self.seen.verdict == "differs" else ""


def judge(check: Check, answers: Answers) -> Finding:
    """Judge a check; an answer of an unknown form counts as not measured."""
    try:
        return Finding(check, check.judge(answers))
    except UnmeasuredError as error:
        return Finding(check, Seen("not measured", str(error)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # The message of the error may contain a row value.
        form = f"the answer has a form that is not known ({type(error).__name__})"
        return Finding(check, Seen("not measured", form))
