"""Asks all questions about one company and judges all checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..client.client import ExactClient
from ..engine.connection import rights_name
from ..errors import LimitError
from . import dates, limits, paging, queries, rights, schema, twins, values, versions
from .answers import Answers
from .asking import ME, RIGHTS, Asking, may_read, right_of, rights_question
from .checks import Check, Finding, judge
from .questions import questions

FORMS = ("rights", "rights by path", "rights of ledger")
EXIT_REPORT, EXIT_INCOMPLETE = 1, 3
CHECKS: tuple[Check, ...] = (
    *dates.CHECKS,
    *limits.CHECKS,
    *paging.CHECKS,
    *queries.CHECKS,
    *versions.CHECKS,
    *values.CHECKS,
    *rights.CHECKS,
    *schema.CHECKS,
    *twins.CHECKS,
)


@dataclass
class Verification:
    """The result of a verification.

    Attributes:
        findings: One for each check, in the order of ``CHECKS``.
        calls: Number of calls made.
        refusals: Number of replies that count toward Exact's error limit.
        stopped: Reason why questions were skipped; empty if none were.
        answers: The answers.
    """

    findings: list[Finding]
    calls: int
    refusals: int
    stopped: str
    answers: Answers = field(repr=False)

    @property
    def exit_code(self) -> int:
        """0 if nothing must be reported, 1 if something must, 3 if the calls ran out."""
        if any(finding.is_report for finding in self.findings):
            return EXIT_REPORT
        return EXIT_INCOMPLETE if self.stopped else 0


async def verify(
    client: ExactClient,
    division: int,
    watch: Callable[[Asking], None],
    on_answer: Callable[[str], None] = lambda _name: None,
) -> Verification:
    """Verify one company with at most ``MOST_CALLS`` calls.

    Args:
        client: The open client.
        division: Code of the company.
        watch: Called before the first call with the object whose ``observe`` must see each reply.
        on_answer: Called after each question.

    Raises:
        AuthenticationError: If a person must log in again.
    """
    answers = Answers(client.base_url, division)
    asking = Asking(client, answers)
    watch(asking)
    stopped = ""
    try:
        for question in questions():
            if await _may_ask(asking, question.path, is_metadata=question.tail == "$metadata"):
                await asking.ask(question)
            else:
                answers.lack(question.name, f"the user may not read {question.path}")
            on_answer(question.name)
    except LimitError as error:
        stopped = str(error)
    findings = [judge(check, answers) for check in CHECKS]
    return Verification(findings, asking.calls, asking.refusals, stopped, answers)


async def _may_ask(asking: Asking, path: str, *, is_metadata: bool) -> bool:
    """Whether the user may read an endpoint, as far as known; asked once for each name."""
    answers = asking.answers
    if is_metadata or path in {ME, RIGHTS} or not right_known(answers):
        return True
    by_path = bool(right_of(answers, "rights by path"))
    name = f"right {path if by_path else rights_name(path)}"
    if name not in answers.got and name not in answers.missing:
        await asking.ask(rights_question(name, path, as_path=by_path))
    return may_read(answers, [name]) is not False


def right_known(answers: Answers) -> bool:
    """Whether Exact understands one of the forms of the rights question."""
    return any(right_of(answers, name) for name in FORMS)
