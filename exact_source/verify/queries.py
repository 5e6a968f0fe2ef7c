"""Checks of query options: which ones work, and which ones are required."""

from __future__ import annotations

from .answers import OK, Answer, Answers
from .checks import Check, Seen, UnmeasuredError, differs, holds, holds_if
from .questions import SELECTED_ACCOUNT

BAD_REQUEST = 400


def _accepted(answers: Answers, name: str, option: str) -> Answer:
    """The answer to a question with an option that may be refused.

    Raises:
        RefusedOptionError: If the option was refused, here or in an earlier question.
    """
    if name in answers.got and answers.got[name].status == BAD_REQUEST:
        raise RefusedOptionError
    if any(p.startswith(option) for p in answers.refused if option):
        raise RefusedOptionError
    return answers[name]


class RefusedOptionError(Exception):
    """Exact refused the option."""


def _refusable(answers: Answers, name: str, option: str) -> Answer | Seen:
    try:
        return _accepted(answers, name, option)
    except RefusedOptionError:
        return differs("it is refused")


def _total(answer: Answer) -> int:
    return int(str(answer.count))


def filter_modified(answers: Answers) -> Seen:
    """Check whether a regular feed accepts a filter on ``Modified``."""
    answer = _refusable(answers, "modified", "filter Modified ge of regular feeds")
    return answer if isinstance(answer, Seen) else holds("it is accepted")


def bulk_filter_modified(answers: Answers) -> Seen:
    """Check whether a bulk feed accepts a filter on ``Modified``."""
    answer = _refusable(answers, "bulk modified", "filter Modified ge of bulk feeds")
    return answer if isinstance(answer, Seen) else holds("it is accepted")


def filter_key(answers: Answers) -> Seen:
    """Check whether a filter on the key that matches every row is accepted."""
    answer = _refusable(answers, "not null", "filter ID ne of regular feeds")
    if isinstance(answer, Seen):
        return answer
    if answer.count is None or answers["count"].count is None:
        return holds("it is accepted")
    same = _total(answer) == _total(answers["count"])
    return holds_if(same, "every row passes it", "it leaves out rows")


def orderby(answers: Answers) -> Seen:
    """Check whether ``$orderby`` sorts the rows."""
    answer = _refusable(answers, "newest", "$orderby of crm/Accounts")
    if isinstance(answer, Seen):
        return answer
    first, *_ = answer.digits("Modified")
    page = answers["page"].digits("Modified")
    return holds_if(first >= max(page), "the newest row comes first", "the order is not obeyed")


def top(answers: Answers) -> Seen:
    """Check whether ``$top`` limits the rows."""
    answer = _refusable(answers, "count", "$top of crm/Accounts")
    if isinstance(answer, Seen):
        return answer
    if len(answers["page"].rows) <= 1:
        raise UnmeasuredError("too few rows")
    rows = len(answer.rows)
    return holds_if(rows == 1, "$top=1 gives one row", f"$top=1 gives {rows} rows")


def sync_top(answers: Answers) -> Seen:
    """Check whether ``$top`` limits the rows of a sync feed, or only its pages."""
    answer = _refusable(answers, "sync top", "$top of sync/CRM/Accounts")
    if isinstance(answer, Seen):
        return answer
    if len(answers["sync_accounts"].rows) <= 1:
        raise UnmeasuredError("too few rows")
    rows = len(answer.rows)
    if rows == 1 and answer.next is not None:
        return differs("$top=1 limits the page, and a next link follows")
    return holds_if(rows == 1, "$top=1 gives one row", f"$top=1 gives {rows} rows")


def select(answers: Answers) -> Seen:
    """Check whether ``$select`` chooses the fields."""
    rows = answers["page"].rows
    if not rows:
        raise UnmeasuredError("no rows")
    more = {field for row in rows for field in row} - {*SELECTED_ACCOUNT, "__metadata"}
    less = set(SELECTED_ACCOUNT) - set(rows[0])
    return holds_if(
        not more and not less,
        "rows have the chosen fields",
        f"rows have {len(more)} other fields and lack {len(less)}",
    )


def count(answers: Answers) -> Seen:
    """Check whether ``$inlinecount`` returns a count."""
    answer = _refusable(answers, "count", "$inlinecount of crm/Accounts")
    if isinstance(answer, Seen):
        return answer
    found = answer.count
    if found is None:
        return differs("there is no __count")
    if not isinstance(found, str):
        return differs("__count is not a text")
    return holds_if(found.isdigit(), "__count is a number as a text", "__count is not a number")


def count_path(answers: Answers) -> Seen:
    """Check whether ``/$count`` returns a count."""
    answer = answers.any_status("count path")
    if answer.status != OK:
        return differs(f"it is refused with {answer.status}")
    text = answer.body.decode("utf-8-sig", "replace").strip()
    if not text.isdigit():
        return differs("the answer is not a number")
    counted = answers.got.get("count")
    if counted is None or counted.status != OK or counted.count is None:
        return holds("it is a number")
    same = int(text) == _total(counted)
    return holds_if(same, "it counts as $inlinecount does", "it counts otherwise than $inlinecount")


def _needless(answers: Answers, name: str) -> Seen:
    answer = answers.any_status(name)
    if answer.status == OK:
        return holds("a call without it is accepted")
    if answer.status == BAD_REQUEST:
        return differs("a call without it is refused")
    raise UnmeasuredError(f"{answer.path} was refused with {answer.status}")


def select_needless(answers: Answers) -> Seen:
    """Check whether ``$select`` is optional."""
    return _needless(answers, "no select")


def filter_needless(answers: Answers) -> Seen:
    """Check whether ``$filter`` is optional."""
    return _needless(answers, "no filter")


CHECKS = (
    Check("filter-modified", "A regular feed takes a filter on Modified", "2.5, 3.6",
          ("modified",), "report", filter_modified),
    Check("bulk-filter-modified", "The bulk feed of accounts takes a filter on Modified", "3.6, C",
          ("bulk modified",), "report", bulk_filter_modified),
    Check("filter-key", "A filter ID ne guid'0...' is accepted, and every row passes it", "2.5",
          ("not null", "count"), "adapts", filter_key),
    Check("orderby", "$orderby=Modified desc gives the newest row first", "12.5",
          ("newest", "page"), "nothing", orderby),
    Check("top", "$top=1 gives one row", "3.2, 12.4", ("count", "page"), "nothing", top),
    Check("sync-top", "$top=1 gives one row of a sync feed", "10.17, 12.4",
          ("sync top", "sync_accounts"), "nothing", sync_top),
    Check("select", "$select chooses the fields", "3.3", ("page",), "nothing", select),
    Check("inline-count", "$inlinecount gives a number as a text", "3.1", ("count",), "report",
          count),
    Check("count-path", "/$count gives the number of rows", "3.1", ("count path", "count"),
          "adapts", count_path),
    Check("select-needless", "crm/Accounts does not demand $select", "3.3, 12.2", ("no select",),
          "nothing", select_needless),
    Check("filter-needless", "Endpoints with a sync feed do not demand $filter", "2.5, 10.7, 12.2",
          ("no filter",), "adapts", filter_needless),
)  # fmt: skip
