"""Checks of the call limits and their headers."""

from __future__ import annotations

from ..client.limits import DAY_LIMIT, DAY_S, MINUTE_LIMIT, MINUTE_S
from .answers import Answer, Answers
from .checks import Check, Seen, UnmeasuredError, differs, holds, holds_if

DAY, MINUTE = "x-ratelimit-", "x-ratelimit-minutely-"
PARTS = ("limit", "remaining", "reset")
RIGHTS, ME = "users/UserHasRights", "current/Me"
MS = 1000
SECONDS_END = 10**11  # times in seconds are below this number, times in milliseconds above


def _billed(answers: Answers) -> list[Answer]:
    found = [a for a in answers.good() if a.path != RIGHTS]
    if not found:
        raise UnmeasuredError("no call was answered")
    return found


def _has(answer: Answer, prefix: str) -> bool:
    return all(answer.number(prefix + part) is not None for part in PARTS)


def _first(answers: Answers, prefix: str) -> Answer:
    found = next((a for a in _billed(answers) if _has(a, prefix)), None)
    if found is None:
        raise UnmeasuredError("the headers are missing")
    return found


def _headers(answers: Answers, prefix: str) -> Seen:
    found = _billed(answers)
    without = sum(1 for a in found if not _has(a, prefix))
    return holds_if(
        not without,
        f"all of {len(found)} answers have the three headers",
        f"{without} of {len(found)} answers lack one of the three headers",
    )


def day_headers(answers: Answers) -> Seen:
    """Check the headers of the daily limit."""
    return _headers(answers, DAY)


def minute_headers(answers: Answers) -> Seen:
    """Check the headers of the limit per minute."""
    return _headers(answers, MINUTE)


def other_headers(answers: Answers) -> Seen:
    """Check whether there are headers of further limits, such as those of a contract."""
    known = {prefix + part for prefix in (DAY, MINUTE) for part in PARTS}
    names = {name for a in _billed(answers) for name in a.headers if name.startswith(DAY)}
    other = sorted(names - known)
    return holds_if(not other, "there are no others", f"also: {', '.join(other)}")


def limit_values(answers: Answers) -> Seen:
    """Check the limits themselves."""
    day = _first(answers, DAY).number(DAY + "limit")
    minute = _first(answers, MINUTE).number(MINUTE + "limit")
    text = f"{minute} calls a minute and {day} a day"
    return holds_if((minute, day) == (MINUTE_LIMIT, DAY_LIMIT), text, text)


def reset_unit(answers: Answers) -> Seen:
    """Check the unit of the reset headers."""
    prefix = DAY if any(_has(a, DAY) for a in _billed(answers)) else MINUTE
    reset = _first(answers, prefix).number(prefix + "reset") or 0
    return holds_if(reset > SECONDS_END, "milliseconds", "not milliseconds since the epoch")


def day_end(answers: Answers) -> Seen:
    """Check when the day ends."""
    reset = _first(answers, DAY).number(DAY + "reset") or 0
    if reset <= SECONDS_END:
        raise UnmeasuredError("the reset is not in milliseconds")
    off_h = reset / MS % DAY_S / 3600
    return holds_if(not off_h, "at 00:00 UTC", f"{off_h:.3g} h after 00:00 UTC")


def minute_end(answers: Answers) -> Seen:
    """Check when the minute ends."""
    resets = [a.number(MINUTE + "reset") or 0 for a in _billed(answers) if _has(a, MINUTE)]
    if not resets or min(resets) <= SECONDS_END:
        raise UnmeasuredError("the reset is not there in milliseconds")
    off = sum(1 for reset in resets if reset % (MINUTE_S * MS))
    return holds_if(
        not off,
        "on a whole minute",
        f"{off} of {len(resets)} resets are not on a whole minute",
    )


def _costs(answers: Answers) -> tuple[list[int], list[int]]:
    """Decreases of Remaining per call: without, and with, preceding ``UserHasRights`` calls."""
    plain: list[int] = []
    across: list[int] = []
    before, has_asked = None, False
    for answer in answers.log:
        if answer.path == ME:
            continue
        if answer.path == RIGHTS:
            has_asked = True
            continue
        left = answer.number(DAY + "remaining")
        if before is not None and left is not None and left <= before:
            (across if has_asked else plain).append(before - left)
        before, has_asked = left, False
    return plain, across


def call_costs(answers: Answers) -> Seen:
    """Check whether a call is counted once."""
    plain, _ = _costs(answers)
    if not plain:
        raise UnmeasuredError("the header Remaining is missing")
    return holds_if(
        min(plain) <= 1, "a call lowers Remaining by one", "each call lowers it by more"
    )


def rights_cost(answers: Answers) -> Seen:
    """Check whether ``UserHasRights`` is counted as a call."""
    plain, across = _costs(answers)
    if not plain or not across:
        raise UnmeasuredError("the header Remaining is missing, or rights were not asked")
    return holds_if(
        min(across) <= min(plain), "they lower Remaining by nothing", "they are counted"
    )


def me_is_free(answers: Answers) -> Seen:
    """Check whether ``current/Me`` has limit headers."""
    has_any = any(name.startswith(DAY) for name in answers["me"].headers)
    return holds_if(not has_any, "no limit headers", "it has limit headers, so it may be counted")


def service_version(answers: Answers) -> Seen:
    """Check the version of the protocol."""
    found = {
        a.headers.get("dataserviceversion", "") for a in _billed(answers) if a.body[:1] == b"{"
    }
    if not found:
        raise UnmeasuredError("no answer with rows")
    good = all(text.startswith("2.0") for text in found)
    return holds("2.0") if good else differs("the header DataServiceVersion is not 2.0")


CHECKS = (
    Check("day-headers", "Answers of a company have the three headers of the daily limit", "2.2",
          ("page",), "report", day_headers),
    Check("minute-headers", "Answers of a company have the three headers of the minute's limit",
          "2.2", ("page",), "report", minute_headers),
    Check("other-limit-headers", "There are no headers of other limits", "10.8", ("page",),
          "nothing", other_headers),
    Check("limit-values", "60 calls a minute and 5,000 a day", "2.1", ("page",), "adapts",
          limit_values),
    Check("reset-unit", "Resets are milliseconds since the epoch", "2.2", ("page",), "report",
          reset_unit),
    Check("day-end", "The day ends at 00:00 UTC", "2.1", ("page",), "adapts", day_end),
    Check("minute-end", "The minute is one of the clock", "2.1", ("page",), "adapts", minute_end),
    Check("call-costs", "A call is counted once", "2.1", ("newest", "page"), "adapts", call_costs),
    Check("rights-cost", "Questions after rights are not counted", "2.1",
          ("newest", "rights", "page"), "adapts", rights_cost),
    Check("me-is-free", "current/Me is not counted", "2.1", ("me",), "report", me_is_free),
    Check("service-version", "The protocol is OData version 2", "3.1", ("page",), "report",
          service_version),
)  # fmt: skip
