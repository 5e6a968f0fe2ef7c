"""The exit code that follows from what the checks found."""

from __future__ import annotations

import pytest

from exact_source.cli.check.findings import Findings
from exact_source.errors import ConfigurationError, ExactError, LimitError, RefusedError

WRONG = ConfigurationError("client_id is missing; set it")
REFUSED = RefusedError("current/Me: refused", status=403)
USED_UP = LimitError("current/Me: the day's calls are used up", resumes_at=1_700_006_400.0)


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([], 0),
        ([USED_UP], 3),
        ([USED_UP, REFUSED], 1),
        ([USED_UP, REFUSED, WRONG], 2),
    ],
    ids=["none", "only calls are lacking", "something failed", "a setting is at fault"],
)
def test_the_exit_code_is_of_what_is_to_be_put_right_first(
    errors: list[ExactError], code: int
) -> None:
    findings = Findings()
    findings.add("tokens", "warning", "old", "sync soon")
    for error in errors:
        findings.fail("connection", error)

    assert findings.exit_code == code


def test_what_to_do_stands_behind_the_semicolon_or_is_to_wait() -> None:
    findings = Findings()
    findings.fail("settings", WRONG)
    findings.fail("connection", USED_UP)

    wrong, used_up = findings.failed
    assert (wrong.found, wrong.remedy) == ("client_id is missing", "set it")
    assert used_up.remedy.startswith("check again after 2023-11-1")
