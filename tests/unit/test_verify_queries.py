"""Verdicts of ``verify`` on replies to query options that the sandbox never sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from exact_source.verify import queries
from exact_source.verify.answers import Answer, Answers
from exact_source.verify.checks import Seen, UnmeasuredError

ROW = {"ID": "1"}
Judge = Callable[[Answers], Seen]


def answers(**found: Any) -> Answers:
    """Answers by question name (``_`` for a space): a status, and the value of ``d`` or the whole body."""
    made = Answers("https://start.exactonline.nl", 1)
    for name, (status, content) in found.items():
        text = content if isinstance(content, str) else json.dumps({"d": content})
        made.take(name.replace("_", " "), Answer("crm/Accounts", status, {}, text.encode()))
    return made


@pytest.mark.parametrize("judge", [queries.top, queries.count])
def test_a_refused_option_differs(judge: Judge) -> None:
    assert judge(answers(count=(400, {}))).verdict == "differs"


def test_top_of_a_sync_feed_may_be_refused_or_limit_only_the_page() -> None:
    many = {"results": [ROW, ROW]}
    page = {"results": [ROW], "__next": "https://start.exactonline.nl/2"}

    def judged(status: int, content: Any) -> str:
        found = answers(sync_top=(status, content), page=(200, many))
        found.got["sync_accounts"] = found.got["page"]
        return queries.sync_top(found).verdict

    assert judged(200, {"results": [ROW]}) == "holds"
    assert judged(200, page) == "differs"
    assert judged(200, many) == "differs"
    assert judged(400, {}) == "differs"


def test_too_few_rows_decide_neither_top_nor_select() -> None:
    one = (200, {"results": [ROW]})
    with pytest.raises(UnmeasuredError):
        queries.top(answers(count=one, page=one))
    with pytest.raises(UnmeasuredError):
        queries.select(answers(page=(200, {"results": []})))


def test_a_count_that_is_not_a_number_differs() -> None:
    assert queries.count_path(answers(count_path=(200, "many"))).verdict == "differs"
    assert queries.count_path(answers(count_path=(404, ""))).verdict == "differs"
    assert queries.count_path(answers(count_path=(200, "\ufeff7"))).verdict == "holds"


def test_a_refusal_for_another_reason_decides_nothing() -> None:
    assert queries.select_needless(answers(no_select=(400, {}))).verdict == "differs"
    with pytest.raises(UnmeasuredError):
        queries.select_needless(answers(no_select=(403, {})))
