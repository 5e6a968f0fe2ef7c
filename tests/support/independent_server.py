"""A second Exact Online, written from the facts about the API and from recorded replies alone.

It shares no code or assumptions with the sandbox, so a client that agrees with both agrees with two
independent readings of the facts. It models a few entities (``independent/feeds.py``), has its own clock,
and is an ``httpx`` transport. Section numbers are those of the API facts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from tests.support.independent.answers import FORBIDDEN, Answers, Ask, Call, Rules
from tests.support.independent.clocks import ServerClock
from tests.support.independent.company import Company, Database
from tests.support.independent.faults import LOGIN_PAGE, Fault, Faults, spoil_line
from tests.support.independent.feeds import FEEDS
from tests.support.independent.limits import Limits
from tests.support.independent.query import SYNTAX, Refused, options_of, value_of
from tests.support.independent.replies import JSON_TYPE, error, json_value, send, to_octets

ADDRESS = re.compile(r"/api/v1/(?:(?P<division>\d+|current)/)(?P<path>.*)")


class IndependentServer(httpx.AsyncBaseTransport):
    """Companies behind one site.

    Attributes:
        clock: True time.
        companies: Division -> company.
        limits: Limits of calls and errors.
        faults: Faults to inject.
        rules: Open choices.
        calls: Every call, in order.
        token: The valid access token.
        latency_s: Duration of a call in seconds.
        before_reply: Called before each reply is made; may change companies.
    """

    def __init__(
        self,
        divisions: Sequence[int] = (1001,),
        *,
        start: datetime = datetime(2026, 6, 10, 9, 0, tzinfo=UTC),
        rules: Rules | None = None,
    ) -> None:
        self.clock = ServerClock(start)
        self.database = Database()
        self.companies = {d: Company(d, self.clock, self.database) for d in divisions}
        self.limits = Limits(self.clock)
        self.faults = Faults()
        self.rules = rules or Rules()
        self.answers = Answers(self.clock, self.companies, self.rules)
        self.calls: list[Call] = []
        self.token = "good"
        self.latency_s = 0.05
        self.before_reply: Callable[[Call], None] = lambda _call: None

    # -- the truth ---------------------------------------------------------------------------------

    def expected_rows(self, entity: str, division: int) -> list[dict[str, Any]]:
        """Committed rows of an entity, as its widest feed shows them, without ``__metadata``."""
        feed = max((f for f in FEEDS if f.entity == entity), key=lambda f: len(f.columns))
        rows = sorted(self.companies[division].rows(entity), key=lambda r: r.version)
        return [
            {n: json_value(value_of(row, n), letter) for n, letter in feed.columns.items()}
            for row in rows
        ]

    # -- the wire ----------------------------------------------------------------------------------

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.clock.advance(self.latency_s)
        ask = self._take_apart(request)
        self.calls.append(ask.call)
        self.before_reply(ask.call)
        fault = self.faults.take(ask.call.path)
        ask.call.fault = fault.kind if fault is not None else ""
        if fault is not None:
            spoil_line(fault, request)
        status, headers, body = self._reply(ask, request, fault)
        ask.call.status = status
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {**headers, "Date": self.clock.http_date()}
        return send(status, headers, body, packed=packed, fault=fault)

    def _take_apart(self, request: httpx.Request) -> Ask:
        match = ADDRESS.fullmatch(request.url.path)
        division, path = (match["division"], match["path"]) if match else ("", request.url.path)
        query = request.url.query.decode()
        code = int(division) if division.isdigit() else None
        path = path if code is not None else f"{division}/{path}"
        return Ask(
            request.url,
            Call(self.clock.now(), request.method, code, path, query),
            options_of(query),
        )

    def _reply(
        self, ask: Ask, request: httpx.Request, fault: Fault | None
    ) -> tuple[int, dict[str, str], bytes]:
        code = ask.call.division
        try:
            self._let_in(ask, request)
            if fault is not None:
                self._spoil_status(fault, code or 0)
            found = self.answers.answer(ask, fault)
        except Refused as refused:
            self.limits.count_error(code or 0, ask.call.path, refused.status)
            return self._refuse(refused)
        headers = {"Content-Type": JSON_TYPE, "DataServiceVersion": "2.0;"}
        headers |= self._limit_headers(code or 0)
        if isinstance(found, bytes):
            return 200, headers | {"Content-Type": "text/plain;charset=utf-8"}, found
        if "application/json" not in request.headers.get("Accept", ""):  # 3.1
            return 200, headers | {"Content-Type": "application/atom+xml"}, b"<feed />"
        return 200, headers, to_octets({"d": found})

    def _refuse(self, refused: Refused) -> tuple[int, dict[str, str], bytes]:
        if refused.text.startswith("<"):
            return (
                refused.status,
                {"Content-Type": "text/html"} | refused.headers,
                refused.text.encode(),
            )
        body = to_octets(error(refused.text)) if refused.text else b""
        return refused.status, {"Content-Type": JSON_TYPE} | refused.headers, body

    def _let_in(self, ask: Ask, request: httpx.Request) -> None:
        """Check the token, the block of the key, the company and the limits."""
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, LOGIN_PAGE)  # 1.5
        self.limits.check_block()
        code = ask.call.division
        if code is None:
            return  # calls without a division do not count (2.1)
        if code not in self.companies:
            raise Refused(403, "Forbidden - User division is not within division scope")  # 1.6
        self.limits.use(code)
        if ask.call.path.lower().startswith("users/"):
            self.limits.refund(code)
        if self.companies[code].blocking_status and not ask.call.path.startswith("system/"):
            raise Refused(403, FORBIDDEN, Reason="DivisionBlocked")  # 6.1

    def _spoil_status(self, fault: Fault, division: int) -> None:
        if fault.kind == "html":
            raise Refused(200, LOGIN_PAGE)
        if fault.kind.startswith("429-"):
            kind = fault.kind.removeprefix("429-")
            raise Refused(429, **self.limits.exhausted(kind, division))
        if fault.kind == "401":
            raise Refused(401, LOGIN_PAGE)
        if fault.kind.isdigit():
            text = {"400": SYNTAX, "403": FORBIDDEN}.get(fault.kind, "")
            headers = self._limit_headers(division) if fault.kind in {"408", "500"} else {}
            raise Refused(int(fault.kind), text, **headers)

    def _limit_headers(self, division: int) -> dict[str, str]:
        """All six limit headers (2.2); calls without a division have none (2.1)."""
        if not division:
            return {}
        return self.limits.day_headers(division) | self.limits.minute_headers(division)


__all__ = ["Fault", "IndependentServer", "Rules"]
