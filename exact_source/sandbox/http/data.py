"""Data calls: from the request to the reply, with Exact's refusals."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from ..deviations.bodies import changed_body
from ..deviations.headers import changed_headers
from ..deviations.queries import refuse_call
from ..odata.metadata import render_metadata
from ..odata.payload import JSON_TYPE, Answer, render_json
from ..odata.query import parse_options
from ..replay import Replay
from ..rules.faults import Fault
from ..rules.spoiling import replacement, spoil, with_control_character
from ..state import State
from .atom import ATOM_TYPE, render_atom
from .errors import (
    DIVISION_BLOCKED,
    NOT_FOUND,
    NOT_IN_SCOPE,
    TOO_LARGE,
    UNSUPPORTED,
    RefusedError,
)
from .requests import Request
from .responses import DATA_HEADERS, XML_TYPE, TruncatedResponse, refusal, reply
from .rows import Rows
from .target import Target, parse_target
from .user_rights import answer_right
from .writes import check_method, write

LONGEST_URL = 6000  # API 2.4
ROOT = "/api/v1"
UNBILLED = frozenset({"users/UserHasRights"})  # API 2.1
ACCEPTED = ("json", "application/atom+xml", "*/*")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DataCalls:
    """Answers everything below ``/api/v1/``."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def __call__(self, request: HttpRequest) -> Response:
        """Answer one call, and log it."""
        state = self.state
        target = parse_target(request.path_params["path"])
        target = replace(target, path=state.catalogue.spelled(target.path))
        division = target.division
        faults = state.faults.for_call(target.text, division)
        if division is not None:
            state.in_flight.enter(division)
        try:
            await asyncio.sleep(state.settings.latency + _delay(faults))
            call = Call(state, request, target, faults, await request.body())
            response = call.respond()
        finally:
            if division is not None:
                state.in_flight.leave(division)
        state.requests.append(
            Request(
                method=request.method,
                path=target.text,
                division=division,
                query=call.options,
                status=response.status_code,
                rows=call.rows,
                at=state.clock.now(),
                bytes=len(response.body),
            )
        )
        return response


class Call:
    """One data call on its way to a reply.

    Attributes:
        options: The decoded query options.
        rows: Number of rows in the reply.
    """

    def __init__(
        self, state: State, request: HttpRequest, target: Target, faults: list[Fault], sent: bytes
    ) -> None:
        self.options: dict[str, str] = {}
        self.rows = 0
        self._state = state
        self._request = request
        self._target = target
        self._sent = sent
        self._faults = {fault.kind: fault for fault in faults}
        self._headers: dict[str, str] = {}
        self._json = True
        self._base = str(request.base_url).rstrip("/")

    def respond(self) -> Response:
        """The reply, successful or not."""
        at, target, state = self._state.clock.now(), self._target, self._state
        language = state.settings.language
        with state.store.lock:
            try:
                replay = state.replay
                response = self._replayed(at, replay) if replay else self._answer(at)
            except RefusedError as error:
                response = refusal(at, error, self._headers, json=self._json, language=language)
            state.errors.note(target.division, target.path, response.status_code)
        if state.settings.deviations:
            self._deviate(response)
        return TruncatedResponse(response) if "truncate" in self._faults else response

    def _deviate(self, response: Response) -> None:
        """Change the headers; their names are in lower case."""
        state, before = self._state, dict(response.headers)
        after = changed_headers(state.settings.deviations, before, state.utc_offset)
        for name in before:
            del response.headers[name]
        response.headers.update(after)

    def _replayed(self, at: float, replay: Replay) -> Response:
        """The recorded reply, whatever the sandbox would answer itself."""
        self._json = "json" in self._accept
        self._check_bearer()
        url = self._request.url
        self.options = parse_options(url.query)
        one = replay.find(url.path, url.query, self._base)
        kind = one.headers.pop("content-type", JSON_TYPE)
        return reply(at, one.body, kind, one.headers, one.status)

    def _answer(self, at: float) -> Response:
        self._json = "json" in self._accept
        self._check_bearer()
        self._check_limits()
        self._check_form()
        replaced = replacement(at, self._faults, self._headers, self._elsewhere)
        if replaced is not None:
            return replaced
        refuse_call(self._state.settings.deviations, self._target.path, self._target.tail)
        hidden = self._check_rights()
        if self._target.tail == "$metadata":
            active = self._state.settings.deviations
            text = render_metadata(self._state.catalogue, self._target.path, active)
            return reply(at, text, XML_TYPE, self._headers | DATA_HEADERS)
        rows = self._find_rows(hidden)
        if self._request.method != "GET":
            return self._written(at, rows)
        if rows.endpoint.entity == "user_has_rights":
            body, media_type = answer_right(self._state, rows, json=self._json)
            return reply(at, body, media_type, DATA_HEADERS)
        if self._target.tail == "$count":
            return reply(at, str(rows.count()), "text/plain;charset=utf-8", self._headers)
        return self._served(at, rows)

    def _served(self, at: float, rows: Rows) -> Response:
        answer = rows.read(self._target.key, self._target.tail)
        urls, again = (str(self._request.url), self._elsewhere), len(self._state.requests)
        answer = spoil(answer, self._faults, rows.division, urls, again)
        self.rows = len(answer.rows)
        body = self._body(answer, at)
        if len(body) > self._state.settings.response_limit:
            self.rows = 0
            raise RefusedError(500, TOO_LARGE)  # API 2.4 has the size; the status is a guess
        media_type = JSON_TYPE if self._json else ATOM_TYPE
        return reply(at, body, media_type, self._headers | DATA_HEADERS)

    def _written(self, at: float, rows: Rows) -> Response:
        made = write(self._state, self._target, self._request.method, self._sent)
        if made is None:
            return reply(at, b"", JSON_TYPE, self._headers | DATA_HEADERS, 204)
        body = self._body(rows.single(made), at)
        return reply(at, body, JSON_TYPE, self._headers | DATA_HEADERS, 201)

    def _body(self, answer: Answer, at: float) -> bytes:
        body = render_json(answer) if self._json else render_atom(answer, at)
        if self._state.settings.deviations and self._json:
            columns = answer.endpoint.columns
            active, offset = self._state.settings.deviations, self._state.utc_offset
            body = changed_body(active, answer.endpoint.path, columns, body, offset)
        if "control-character" in self._faults:
            body = with_control_character(body, json=self._json)
        return BYTE_ORDER_MARK + body if "bom" in self._faults else body

    @property
    def _accept(self) -> str:
        return self._request.headers.get("accept", "*/*").lower()

    def _check_form(self) -> None:
        """Atom unless JSON is requested; ``application/xml`` counts as neither (API 3.1)."""
        url, accept = self._request.url, self._accept
        self.options = parse_options(url.query)
        if len(str(url)) > LONGEST_URL:
            raise RefusedError(414, "Request-URI Too Long")
        form = self.options.get("$format")
        if form is not None:
            self._json = form == "json"
        elif not any(name in accept for name in ACCEPTED):
            raise RefusedError(415, UNSUPPORTED)
        is_text = self._target.tail in {"$count", "$metadata"}
        if is_text and "json" in accept and "*/*" not in accept:
            raise RefusedError(415, UNSUPPORTED)
        check_method(self._request.method, self._target)

    def _check_bearer(self) -> None:
        scheme, _, token = self._request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedError(401)
        self._state.oauth.connection_of(token)

    def _check_limits(self) -> None:
        division, path = self._target.division, self._target.path
        self._state.errors.check()
        active = self._state.settings.deviations
        if division is None:
            if "me-is-counted" in active:
                self._headers = self._state.limits.headers(self._state.divisions[0])
            return
        if division not in self._state.divisions:
            raise RefusedError(403, NOT_IN_SCOPE, {"Reason": "NoDivisionAccess"})
        if "double-cost" in active and path not in UNBILLED:
            self._state.limits.consume(division)
        if path not in UNBILLED or "rights-are-counted" in active:
            self._headers = self._state.limits.take(division)

    def _check_rights(self) -> bool:
        division = self._target.division
        if division is None:
            return False
        company = self._state.store.table(division, "divisions").rows[division,]
        if company.get("BlockingStatus"):
            raise RefusedError(403, DIVISION_BLOCKED, {"Reason": "DivisionBlocked"})
        return self._state.rights.check(division, self._target.path)

    def _find_rows(self, hidden: bool) -> Rows:
        endpoint = self._state.catalogue.endpoints.get(self._target.path)
        if endpoint is None or endpoint.no_division != (self._target.division is None):
            raise RefusedError(404, NOT_FOUND)
        division = self._target.division or self._state.divisions[0]
        url = f"{self._base}{self._request.url.path}"
        return Rows(self._state, division, endpoint, self.options, (self._root, url), hidden)

    @property
    def _root(self) -> str:
        beta = "/beta" if self._target.path.startswith("beta/") else ""
        division = "" if self._target.division is None else f"/{self._target.division}"
        return f"{self._base}{ROOT}{beta}{division}"

    @property
    def _elsewhere(self) -> str:
        """The address of this call on another host than Exact's."""
        return str(self._request.url).replace(self._base, self._state.settings.foreign_host, 1)


def _delay(faults: list[Fault]) -> float:
    return sum(fault.seconds for fault in faults if fault.kind == "slow")
