"""Checks of ``users/UserHasRights``."""

from __future__ import annotations

from .answers import OK, Answers
from .asking import right_of
from .checks import Check, Seen, UnmeasuredError, differs, holds, holds_if


def form(answers: Answers) -> Seen:
    """Check how an endpoint must be named."""
    if answers.any_status("rights").status != OK:
        return differs(f"the question is refused with {answers.any_status('rights').status}")
    if right_of(answers, "rights"):
        return holds("CRM/Accounts is understood")
    if right_of(answers, "rights by path"):
        return differs("crm/Accounts is understood, CRM/Accounts is not")
    if right_of(answers, "rights") is None:
        raise UnmeasuredError("the answer has a form that is not known")
    if answers.has("page"):
        return differs("rights are denied although rows can be read")
    raise UnmeasuredError("the user may not read accounts")


def answer(answers: Answers) -> Seen:
    """Check the form of the answer."""
    content = answers["rights"].content
    value = content.get("UserHasRights") if isinstance(content, dict) else content
    return holds_if(isinstance(value, bool), "true or false", "not true or false")


CHECKS = (
    Check("rights-form", "UserHasRights is asked for CRM/Accounts", "5", ("rights",), "adapts",
          form),
    Check("rights-answer", "UserHasRights answers with true or false", "5", ("rights",), "report",
          answer),
)  # fmt: skip
