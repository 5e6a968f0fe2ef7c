"""Checks of feeds that should contain the same rows."""

from __future__ import annotations

from .answers import Answer, Answers
from .checks import Check, Seen, UnmeasuredError, holds_if


def _keys(answer: Answer) -> set[str] | None:
    """The keys of a list that fits on one page."""
    return None if answer.next else {str(key).lower() for key in answer.column("ID")}


def _same_keys(answers: Answers, sync: str, bulk: str, count: str) -> Seen:
    ours, theirs = _keys(answers[sync]), _keys(answers[bulk])
    if ours is None or theirs is None:
        raise UnmeasuredError("there are too many rows to compare")
    number = answers.got.get(count)
    counted = number.count if number is not None and answers.has(count) else None
    total = str(len(theirs)) if counted is None else str(counted)
    only = len(ours - theirs), len(theirs - ours)
    return holds_if(
        only == (0, 0) and total == str(len(theirs)),
        f"the same {len(ours)} keys",
        f"{only[0]} keys only in sync, {only[1]} only in bulk; {len(theirs)} in bulk, "
        f"{total} in the regular feed",
    )


def accounts(answers: Answers) -> Seen:
    """Compare accounts in the sync, bulk and regular feeds."""
    return _same_keys(answers, "sync_accounts", "bulk_accounts", "count")


def gl_accounts(answers: Answers) -> Seen:
    """Compare G/L accounts in the sync, bulk and regular feeds."""
    return _same_keys(answers, "sync_gl", "bulk_gl", "count_gl")


def sampled(answers: Answers) -> Seen:
    """Look up some keys of the sync feed in the regular one."""
    answer = answers["some keys"]
    keys = answers["sync_accounts"].some("ID")
    asked = {str(k).lower() for k in keys[:: max(1, len(keys) // 12)][:12]}
    found = {str(key).lower() for key in answer.column("ID")}
    missing = len(asked - found)
    return holds_if(
        not missing,
        f"{len(asked)} keys of the sync feed are found",
        f"{missing} of {len(asked)} keys of the sync feed are not found",
    )


CHECKS = (
    Check("twins-accounts", "sync, bulk and regular feed of accounts hold the same rows", "4.6",
          ("sync_accounts", "bulk_accounts", "count"), "report", accounts),
    Check("twins-gl-accounts", "sync, bulk and regular feed of G/L accounts hold the same rows",
          "4.6", ("sync_gl", "bulk_gl", "count_gl"), "report", gl_accounts),
    Check("twin-keys", "Keys of a sync feed are those of the regular feed", "4.2",
          ("sync_accounts", "some keys"), "report", sampled),
)  # fmt: skip
