"""Checks of row versions, sync feeds and tombstones."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from ..catalogue import load_catalogue
from .answers import OK, Answers
from .checks import Check, Seen, UnmeasuredError, differs, holds_if
from .queries import BAD_REQUEST

# ``EntityType`` codes of entities that are not read (API appendix B).
OTHER_CODES = frozenset(range(1, 60)) - {52}


def _versions(answers: Answers) -> list[int]:
    name = next((n for n in ("sync_lines", "sync_accounts") if answers.has(n)), "sync_lines")
    return [int(v) for v in answers[name].some("Timestamp")]


def version_form(answers: Answers) -> Seen:
    """Check the form of ``Timestamp``."""
    name = next((n for n in ("sync_lines", "sync_accounts") if answers.has(n)), "sync_lines")
    values = answers[name].some("Timestamp")
    texts = all(isinstance(value, str) and value.isdigit() for value in values)
    return holds_if(texts, "numbers as texts", "not numbers as texts")


def version_unique(answers: Answers) -> Seen:
    """Check whether versions are unique."""
    found = _versions(answers)
    again = len(found) - len(set(found))
    return holds_if(
        not again, f"{len(found)} versions differ", f"{again} of {len(found)} versions come twice"
    )


def sync_order(answers: Answers) -> Seen:
    """Check the order of sync pages."""
    found = _versions(answers)
    if len(found) <= 1:
        raise UnmeasuredError("too few rows")
    rises = all(a <= b for a, b in pairwise(found))
    return holds_if(rises, "rows are in the order of Timestamp", "rows are in another order")


def sync_token(answers: Answers) -> Seen:
    """Check what the next link of a sync feed continues from."""
    name = next((n for n in ("sync_lines", "sync_accounts") if _link(answers, n)), "")
    if not name:
        raise UnmeasuredError("no sync feed had a second page")
    (token,) = parse_qs(urlsplit(_link(answers, name)).query)["$skiptoken"]
    last = answers[name].column("Timestamp")[-1]
    return holds_if(
        token == f"{last}L", "it is the version of the last row", "it is something else"
    )


def _link(answers: Answers, name: str) -> str:
    return (answers[name].next or "") if answers.has(name) else ""


def version_filter(answers: Answers) -> Seen:
    """Check whether ``gt`` excludes the version itself."""
    before = sorted(map(int, answers["sync_accounts"].some("Timestamp")))
    asked = before[len(before) // 2]
    found = [int(v) for v in answers["after version"].column("Timestamp")]
    below = sum(1 for version in found if version <= asked)
    return holds_if(
        not below, "all rows are above the version", f"{below} rows are not above the version"
    )


def from_zero(answers: Answers) -> Seen:
    """Check whether ``gt 0`` returns the same rows as ``gt 1``."""
    answer = answers.any_status("from 0")
    if answer.status == BAD_REQUEST:
        return differs("gt 0 is refused")
    found, wanted = len(answers["from 0"].rows), len(answers["sync_accounts"].rows)
    return holds_if(found == wanted, "the same rows", "other rows than from 1 on")


def start_version(answers: Answers) -> Seen:
    """Check whether ``SyncTimestamp`` returns a version."""
    answer = answers.any_status("start version")
    if answer.status != OK:
        return differs(f"it is refused with {answer.status}")
    if not answer.rows:
        raise UnmeasuredError("it named no row")
    text = str(answer.rows[0].get("TimeStampAsBigInt"))
    return holds_if(text.isdigit(), "it names a version", "it names no version")


def no_start_version(answers: Answers) -> Seen:
    """Check what ``SyncTimestamp`` returns if no row follows."""
    rows = answers["no start version"].rows
    named = [row for row in rows if row.get("TimeStampAsBigInt") is not None]
    return holds_if(not named, "it names no version", "it names a version although no row follows")


def deleted_codes(answers: Answers) -> Seen:
    """Check the codes of tombstones."""
    codes = {int(code) for code in answers["deleted"].some("EntityType")}
    known = {e.deleted_code for e in load_catalogue().entities.values()} | OTHER_CODES
    new = sorted(codes - known)
    return holds_if(
        not new,
        f"{len(codes)} codes, all known",
        f"codes that are not known: {', '.join(map(str, new))}",
    )


def deleted_keys(answers: Answers) -> Seen:
    """Check whether tombstones contain the key of the deleted row."""
    rows = answers["deleted"].rows
    if not rows:
        raise UnmeasuredError("nothing was deleted within two months")
    without = sum(1 for row in rows if not row.get("EntityKey"))
    return holds_if(
        not without,
        f"{len(rows)} tombstones name a row",
        f"{without} of {len(rows)} tombstones name no row",
    )


CHECKS = (
    Check("version-form", "Timestamp is a number as a text", "3.4, 4.2", ("sync_lines",), "report",
          version_form),
    Check("version-unique", "No two rows have the same Timestamp", "4.2", ("sync_lines",),
          "report", version_unique),
    Check("sync-order", "Sync pages are in the order of Timestamp", "10.9, 12.6", ("sync_lines",),
          "adapts", sync_order),
    Check("sync-token", "$skiptoken of a sync feed is the Timestamp of the last row", "12.6",
          ("sync_lines",), "nothing", sync_token),
    Check("version-filter", "Timestamp gt leaves out the version itself", "4.2",
          ("sync_accounts", "after version"), "adapts", version_filter),
    Check("from-zero", "Timestamp gt 0 gives what gt 1 gives", "10.10", ("sync_accounts", "from 0"),
          "nothing", from_zero),
    Check("start-version", "SyncTimestamp names the row version of a date", "4.3",
          ("start version",), "adapts", start_version),
    Check("no-start-version", "SyncTimestamp names no version where no row follows", "10.13",
          ("no start version",), "report", no_start_version),
    Check("deleted-codes", "The codes in sync/Deleted are known", "10.11, B", ("deleted",),
          "report", deleted_codes),
    Check("deleted-keys", "Each row of sync/Deleted names the deleted row", "4.5", ("deleted",),
          "report", deleted_keys),
)  # fmt: skip
