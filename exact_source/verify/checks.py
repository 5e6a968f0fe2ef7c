"""What a check is: an assumption, the questions that measure it, and a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from .answers import Answers

Verdict = Literal["holds", "differs", "not measured"]
# What this program does where Exact Online differs: it works as well, it works in another way, or it
# may load wrong rows or none, and the difference must be reported.
Effect = Literal["nothing", "adapts", "report"]


class Seen(NamedTuple):
    """What a check saw: a verdict, and one sentence without any value of a row."""

    verdict: Verdict
    text: str


class UnmeasuredError(Exception):
    """The answers do not tell; the message says why."""


def holds(text: str) -> Seen:
    """The assumption holds."""
    return Seen("holds", text)


def differs(text: str) -> Seen:
    """The assumption is wrong here."""
    return Seen("differs", text)


def holds_if(condition: object, text: str, otherwise: str) -> Seen:
    """Whether the assumption holds, with a sentence for each case."""
    return holds(text) if condition else differs(otherwise)


@dataclass(frozen=True)
class Check:
    """One assumption about Exact Online.

    Attributes:
        name: A short name, the same in all versions.
        assumption: What this program takes for granted.
        section: Where it is written down: a section of the notes on the API, or of Exact's pages.
        questions: Names of the questions whose answers decide.
        effect: What a difference means for this program.
        judge: Looks at the answers.
    """

    name: str
    assumption: str
    section: str
    questions: tuple[str, ...]
    effect: Effect
    judge: Callable[[Answers], Seen]


@dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: Check
    seen: Seen

    @property
    def is_report(self) -> bool:
        """Whether somebody should report it."""
        return self.seen.verdict == "differs" and self.check.effect == "report"

    @property
    def effect(self) -> str:
        """What the program does about a difference; empty if there is none."""
        return self.check.effect if self.seen.verdict == "differs" else ""


def judge(check: Check, answers: Answers) -> Finding:
    """The finding of one check; an answer in an unknown form cannot be judged."""
    try:
        return Finding(check, check.judge(answers))
    except UnmeasuredError as error:
        return Finding(check, Seen("not measured", str(error)))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        # The message may hold a value of a row.
        form = f"the answer has a form that is not known ({type(error).__name__})"
        return Finding(check, Seen("not measured", form))
