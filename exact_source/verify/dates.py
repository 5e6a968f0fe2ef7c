"""Checks of clocks, time zones and dates."""

from __future__ import annotations

from datetime import UTC, datetime

import pendulum

from ..clock import DUTCH
from ..http_dates import parse_date
from ..settings import REGIONS
from .answers import DATE, Answers
from .checks import Check, Seen, UnmeasuredError, differs, holds, holds_if

DAY_MS, HOUR_S, MINUTE_S = 86_400_000, 3600, 60
NEAR_S = 120  # largest difference between the two clocks of one reply
ZONES = {REGIONS["uk"]: "Europe/London", REGIONS["us"]: "America/New_York"}
QUARTER_S = 15 * MINUTE_S


def _me(answers: Answers) -> dict[str, object]:
    rows = answers["me"].rows
    if not rows:
        raise UnmeasuredError("current/Me has no row")
    return rows[0]


def _server_digits(answers: Answers) -> float:
    """``ServerTime`` interpreted as UTC, in seconds since the epoch."""
    text = str(_me(answers).get("ServerTime") or "")
    found = DATE.fullmatch(text)
    if found:
        return int(found[1]) / 1000
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _zone(answers: Answers) -> tuple[str, float]:
    """The site's time zone, and the seconds by which it is ahead of UTC."""
    zone = ZONES.get(answers.site, DUTCH)
    offset = pendulum.from_timestamp(answers["me"].server_time, tz=zone).utcoffset()
    return zone, offset.total_seconds() if offset is not None else 0.0


def server_time(answers: Answers) -> Seen:
    """Check the time zone of ``Me.ServerTime``."""
    ahead = _server_digits(answers) - answers["me"].server_time
    zone, wanted = _zone(answers)
    seen = f"its digits are {ahead / HOUR_S:+.2g} h from UTC"
    if abs(ahead - wanted) <= NEAR_S:
        return holds(f"{seen}, as the clock of {zone}")
    return differs(f"{seen}; the clock of {zone} is {wanted / HOUR_S:+.2g} h from it")


def server_offset(answers: Answers) -> Seen:
    """Check the unit of ``Me.ServerUtcOffset``."""
    zone, wanted = _zone(answers)
    offset = float(str(_me(answers)["ServerUtcOffset"]))
    return holds_if(
        abs(offset - wanted) <= NEAR_S,
        f"it is the distance of {zone} from UTC in seconds",
        f"it is not the distance of {zone} from UTC in seconds",
    )


def newest_row(answers: Answers) -> Seen:
    """Check whether ``Modified`` uses the same clock as ``ServerTime``."""
    newest = max(answers["newest"].digits("Modified")) / 1000
    now = answers["newest"].server_time
    local = now + _zone(answers)[1]
    if newest > local + NEAR_S:
        return differs("the newest row is dated later than the site's own clock")
    if newest > now + NEAR_S:
        return holds("the newest row is dated in the site's clock, which is ahead of UTC")
    raise UnmeasuredError("no row was changed within the last hours")


def filter_digits(answers: Answers) -> Seen:
    """Check whether ``$filter`` compares the digits that appear in rows."""
    newest = max(answers["newest"].digits("Modified"))
    if newest < max(answers["page"].digits("Modified")):
        raise UnmeasuredError("the newest row could not be asked for")
    found, later = answers["from newest"].rows, answers["after newest"].rows
    return holds_if(
        found and not later,
        "a filter at the newest row's digits finds that row and none after it",
        f"a filter at the newest row's digits finds {len(found)} rows, a second later {len(later)}",
    )


def date_only(answers: Answers) -> Seen:
    """Check whether dates without a time have the digits of midnight."""
    digits = _of_lines(answers, "Date")
    off = sum(1 for ms in digits if ms % DAY_MS)
    return holds_if(
        not off,
        f"{len(digits)} dates are midnight in digits",
        f"{off} of {len(digits)} dates are not midnight in digits",
    )


def _of_lines(answers: Answers, column: str) -> list[int]:
    name = next((n for n in ("bulk_lines", "lines", "sync_lines") if answers.has(n)), "lines")
    return answers[name].digits(column)


def date_form(answers: Answers) -> Seen:
    """Check the form of dates in JSON."""
    name = "page" if answers.has("page") else "newest"
    values = answers[name].some("Modified")
    other = sum(1 for value in values if not DATE.fullmatch(str(value)))
    return holds_if(
        not other, "dates are /Date(ms)/", f"{other} of {len(values)} dates have another form"
    )


def date_header(answers: Answers) -> Seen:
    """Check the header ``Date``."""
    seen = [parse_date(a.headers.get("date")) for a in answers.good()]
    if not seen:
        raise UnmeasuredError("no call was answered")
    return holds_if(
        all(seen), "every answer has one", f"{seen.count(None)} of {len(seen)} answers have none"
    )


CHECKS = (
    Check("server-time", "Me.ServerTime has the digits of the site's wall clock",
          "3.5, 10.6, 12.1", ("me",), "report", server_time),
    Check("server-offset", "Me.ServerUtcOffset counts seconds", "3.5, 12.1", ("me",), "report",
          server_offset),
    Check("newest-row", "Created and Modified have the digits of the site's wall clock",
          "3.5, 10.6, 12.1", ("newest", "me"), "report", newest_row),
    Check("filter-digits", "A filter on Modified compares the digits that rows are sent with",
          "3.5, 12.1", ("newest", "page", "from newest", "after newest"), "report", filter_digits),
    Check("date-only", "A date without a time is midnight in digits", "3.5",
          ("bulk_lines", "lines"), "report", date_only),
    Check("date-form", "Dates in JSON are /Date(ms)/", "3.5", ("page",), "report", date_form),
    Check("date-header", "Every answer has the header Date, by which this program tells the time",
          "2.2", ("page",), "report", date_header),
)  # fmt: skip
