"""Checks of pages and the links between them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from ..errors import ContractError
from ..odata.query import check_next
from .answers import Answer, Answers
from .checks import Check, Seen, UnmeasuredError, differs, holds, holds_if

LISTS = ("page", "lines", "bulk_lines", "sync_lines", "sync_accounts", "bulk_accounts")
SECONDS = (("lines", "lines_2"), ("bulk_lines", "bulk_lines_2"), ("sync_lines", "sync_lines_2"))
# Kind of feed -> questions whose answers may fill a page, and the rows that then are on it (API 3.2).
PAGES = {
    "regular": ("lines", "page"),
    "bulk": ("bulk_lines", "bulk_accounts"),
    "sync": ("sync_lines", "sync_accounts"),
}
PAGE_SIZES = {"regular": 60, "bulk": 1000, "sync": 1000, "function": 60}


def full_page(answers: Answers, kind: str) -> int | None:
    """The number of rows on a page before the last one; ``None`` if there is no such page."""
    pages = (answers[name] for name in PAGES[kind] if answers.has(name))
    return next((len(page.rows) for page in pages if page.next is not None), None)


def _page_size(answers: Answers, kind: str) -> Seen:
    names = PAGES[kind]
    size, wanted = full_page(answers, kind), PAGE_SIZES[kind]
    if size is not None:
        return holds_if(size == wanted, f"{size} rows", f"{size} rows, not {wanted}")
    for name in names:
        if answers.has(name) and len(answers[name].rows) > wanted:
            return differs(f"{len(answers[name].rows)} rows in one answer without a next link")
    reasons = [answers.missing.get(name) for name in names]
    raise UnmeasuredError(next(filter(None, reasons), None) or "too few rows to fill a page")


def regular_page(answers: Answers) -> Seen:
    """Check the number of rows on a page of a regular feed."""
    return _page_size(answers, "regular")


def bulk_page(answers: Answers) -> Seen:
    """Check the number of rows on a page of a bulk feed."""
    return _page_size(answers, "bulk")


def sync_page(answers: Answers) -> Seen:
    """Check the number of rows on a page of a sync feed."""
    return _page_size(answers, "sync")


def envelope(answers: Answers) -> Seen:
    """Check the form of lists."""
    lists = [answers[name] for name in LISTS if answers.has(name)]
    if not lists:
        raise UnmeasuredError("no list was answered")
    bare = sum(1 for answer in lists if answer.is_bare)
    return holds_if(
        not bare,
        "lists have results and __next",
        f"{bare} of {len(lists)} lists are bare, so that further pages cannot be found",
    )


def empty_list(answers: Answers) -> Seen:
    """Check the form of a list without rows."""
    content = answers["after all versions"].content
    rows = content if isinstance(content, list) else content.get("results", "absent")
    if rows == []:
        return holds("a list without rows, and no next link")
    if isinstance(rows, list):
        raise UnmeasuredError("there were rows")
    return differs("an answer without rows has no list")


def _links(answers: Answers) -> list[tuple[Answer, str]]:
    found = [answers[name] for name in LISTS if answers.has(name)]
    links = [(answer, str(answer.next)) for answer in found if not answer.is_bare and answer.next]
    if not links:
        raise UnmeasuredError("no list had a second page")
    return links


def next_link(answers: Answers) -> Seen:
    """Check the host and path of next links."""
    links = _links(answers)
    wrong = sum(1 for answer, link in links if not _leads_on(answers, answer, link))
    return holds_if(
        not wrong,
        f"{len(links)} links lead to the same endpoint, with a $skiptoken",
        f"{wrong} of {len(links)} links lead elsewhere, are not absolute or have no $skiptoken",
    )


def _leads_on(answers: Answers, answer: Answer, link: str) -> bool:
    try:
        check_next(link, answers.site, answer.path, answers.division)
    except ContractError:
        return False
    return "$skiptoken" in parse_qs(urlsplit(link).query)


def next_keeps_query(answers: Answers) -> Seen:
    """Check whether a next link keeps ``$select`` and ``$filter``."""
    links = _links(answers)
    kept = [parse_qs(urlsplit(link).query).keys() for _, link in links]
    lost = {
        name
        for (answer, _), names in zip(links, kept, strict=True)
        for name in ("$select", "$filter")
        if name not in names and (name == "$select" or answer.path.startswith("sync/"))
    }
    return holds_if(
        not lost, "links keep $select and $filter", f"links drop {' and '.join(sorted(lost))}"
    )


def next_goes_on(answers: Answers) -> Seen:
    """Check whether the second page has other rows than the first."""
    pairs = [(a, b) for a, b in SECONDS if answers.has(a) and answers.has(b)]
    if not pairs:
        for _, second in SECONDS:
            answers[second]
        raise UnmeasuredError("no list had a second page")
    again = sum(
        len(set(answers[first].column("ID")) & set(answers[second].column("ID")))
        for first, second in pairs
    )
    return holds_if(
        not again,
        f"the second pages of {len(pairs)} lists hold other rows than the first",
        f"{again} rows of a first page came again on the second",
    )


def whole_list(answers: Answers) -> Seen:
    """Check whether ``read/`` lists come in one page."""
    answer = answers["whole list"]
    if answer.next is not None:
        return differs(f"the list is paged, with {len(answer.rows)} rows on a page")
    if len(answer.rows) <= PAGE_SIZES["function"]:
        raise UnmeasuredError("too few rows to fill a page")
    return holds(f"{len(answer.rows)} rows in one answer")


CHECKS = (
    Check("regular-page", "A page of a regular feed holds 60 rows", "3.2", ("lines", "page"),
          "adapts", regular_page),
    Check("bulk-page", "A page of a bulk feed holds 1,000 rows", "3.2", ("bulk_lines",), "adapts",
          bulk_page),
    Check("sync-page", "A page of a sync feed holds 1,000 rows", "3.2", ("sync_lines",), "adapts",
          sync_page),
    Check("envelope", "A list without $top has the form {results, __next}", "3.1",
          ("page", "lines", "bulk_lines", "sync_lines"), "report", envelope),
    Check("empty-list", "An answer without rows is a list without rows", "3.1, 10.13",
          ("after all versions",), "report", empty_list),
    Check("next-link", "A next link is absolute, of the same endpoint, with a $skiptoken", "3.2",
          ("lines", "bulk_lines", "sync_lines"), "report", next_link),
    Check("next-keeps-query", "A next link keeps $select and $filter", "3.2, 12.5",
          ("lines", "bulk_lines", "sync_lines"), "report", next_keeps_query),
    Check("next-goes-on", "A page begins behind the one before", "3.2",
          ("lines_2", "bulk_lines_2", "sync_lines_2"), "adapts", next_goes_on),
    Check("whole-list", "Lists of read/ come in one answer", "3.2, 10.16", ("whole list",),
          "adapts", whole_list),
)  # fmt: skip
