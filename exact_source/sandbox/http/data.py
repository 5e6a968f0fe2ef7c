"""Data calls: from the request to the page, refused wherever Exact refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from ..data.catalogue import Endpoint, Row
from ..data.reading import row_tests, table_of
from ..odata.expansion import Expansion, expand
from ..odata.literals import parse_literals, typed
from ..odata.metadata import render_metadata
from ..odata.navigation import collection_of, collections_of
from ..odata.paging import read_page, sort_rows
from ..odata.payload import JSON_TYPE, Answer, render_json, row_columns
from ..odata.query import Query, parse_options, parse_query, parse_where
from ..rules.faults import Fault
from ..rules.spoiling import replacement, spoil, with_control_character
from ..state import State
from .atom import ATOM_TYPE, render_atom
from .errors import DIVISION_BLOCKED, NOT_FOUND, NOT_IN_SCOPE, TOO_LARGE, RefusedError, bad_request
from .requests import Request
from .responses import DATA_HEADERS, XML_TYPE, TruncatedResponse, refusal, reply
from .target import Target, parse_target
from .writes import check_method, write

LONGEST_URL = 6000  # API 2.4
ROOT = "/api/v1"
UNBILLED = frozenset({"users/UserHasRights"})  # API 2.1
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DataCalls:
    """Answers everything below ``/api/v1/``."""

    def __init__(self, state: State) -> None:
        self.state = state

    async def __call__(self, request: HttpRequest) -> Response:
        """Answer one call, and log it."""
        target = parse_target(request.path_params["path"])
        state, division = self.state, target.division
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
    """One data call on its way to an answer.

    Attributes:
        options: The decoded query options.
        rows: How many rows the answer holds.
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
        """The answer, whatever it is."""
        at, target, state = self._state.clock.now(), self._target, self._state
        language = state.settings.language
        with state.store.lock:
            try:
                response = self._answer(at)
            except RefusedError as error:
                response = refusal(at, error, self._headers, json=self._json, language=language)
            if target.division is not None:
                state.errors.note(target.division, target.path, response.status_code)
        return TruncatedResponse(response) if "truncate" in self._faults else response

    def _answer(self, at: float) -> Response:
        self._negotiate()
        self._check_bearer()
        self._check_limits()
        replaced = replacement(at, self._faults, self._headers, self._elsewhere)
        if replaced is not None:
            return replaced
        hidden = self._check_rights()
        if self._target.tail == "$metadata":
            text = render_metadata(self._state.catalogue, self._target.path)
            return reply(at, text, XML_TYPE, self._headers | DATA_HEADERS)
        endpoint = self._endpoint()
        if self._request.method != "GET":
            return self._written(at, endpoint)
        if self._target.tail == "$count":
            return self._counted(at, endpoint, hidden)
        if endpoint.entity == "user_has_rights":
            return self._user_has_rights(at, endpoint)
        answer = (
            self._by_key(endpoint) if self._target.key is not None else self._page(endpoint, hidden)
        )
        urls, again = (str(self._request.url), self._elsewhere), len(self._state.requests)
        answer = spoil(answer, self._faults, self._division, urls, again)
        self.rows = len(answer.rows)
        body = self._body(answer, at)
        if len(body) > self._state.settings.response_limit:
            self.rows = 0
            raise RefusedError(500, TOO_LARGE)  # API 2.4 has the size; the status is a guess
        media_type = JSON_TYPE if self._json else ATOM_TYPE
        return reply(at, body, media_type, self._headers | DATA_HEADERS)

    def _written(self, at: float, endpoint: Endpoint) -> Response:
        row = write(self._state, self._target, self._request.method, self._sent)
        if row is None:
            return reply(at, b"", JSON_TYPE, self._headers | DATA_HEADERS, 204)
        shown = [{**self._defaults(), **row}]
        answer = Answer(endpoint, shown, endpoint.columns, self._root, single=True)
        return reply(at, self._body(answer, at), JSON_TYPE, self._headers | DATA_HEADERS, 201)

    def _body(self, answer: Answer, at: float) -> bytes:
        body = render_json(answer) if self._json else render_atom(answer, at)
        if "control-character" in self._faults:
            body = with_control_character(body, json=self._json)
        return BYTE_ORDER_MARK + body if "bom" in self._faults else body

    def _negotiate(self) -> None:
        """Atom unless JSON is asked for; ``application/xml`` is no name for either (API 3.1)."""
        url = self._request.url
        accept = self._request.headers.get("accept", "*/*").lower()
        self._json = "json" in accept
        self.options = parse_options(url.query)
        if len(str(url)) > LONGEST_URL:
            raise RefusedError(414, "Request-URI Too Long")
        form = self.options.get("$format")
        if form is not None:
            self._json = form == "json"
        elif not any(name in accept for name in ("json", "application/atom+xml", "*/*", "text/")):
            raise RefusedError(415, "Unsupported media type requested.")
        if (
            self._target.tail in {"$count", "$metadata"}
            and "json" in accept
            and "*/*" not in accept
        ):
            raise RefusedError(415, "Unsupported media type requested.")
        check_method(self._request.method, self._target)

    def _check_bearer(self) -> None:
        scheme, _, token = self._request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedError(401)
        self._state.oauth.connection_of(token)

    def _check_limits(self) -> None:
        division, path = self._target.division, self._target.path
        self._state.errors.check()
        if division is None:
            return
        if division not in self._state.divisions:
            raise RefusedError(403, NOT_IN_SCOPE, {"Reason": "NoDivisionAccess"})
        if path not in UNBILLED:
            self._headers = self._state.limits.take(division)

    def _check_rights(self) -> bool:
        division = self._target.division
        if division is None:
            return False
        company = self._state.store.table(division, "divisions").rows[division,]
        if company.get("BlockingStatus"):
            raise RefusedError(403, DIVISION_BLOCKED, {"Reason": "DivisionBlocked"})
        return self._state.rights.check(division, self._target.path)

    def _endpoint(self) -> Endpoint:
        endpoint = self._state.catalogue.endpoints.get(self._target.path)
        if endpoint is None or endpoint.no_division != (self._target.division is None):
            raise RefusedError(404, NOT_FOUND)
        return endpoint

    @property
    def _division(self) -> int:
        return self._target.division or self._state.divisions[0]

    @property
    def _root(self) -> str:
        beta = "/beta" if self._target.path.startswith("beta/") else ""
        division = "" if self._target.division is None else f"/{self._target.division}"
        return f"{self._base}{ROOT}{beta}{division}"

    @property
    def _elsewhere(self) -> str:
        """This address on a host that is none of Exact's."""
        return str(self._request.url).replace(self._base, self._state.settings.foreign_host, 1)

    def _defaults(self) -> Mapping[str, Any]:
        return self._state.defaults(self._division)

    def _page(self, endpoint: Endpoint, hidden: bool) -> Answer:
        settings, defaults = self._state.settings, self._defaults()
        lenient, strict = settings.lenient, settings.strict
        query = parse_query(endpoint, self.options, defaults, lenient=lenient, strict=strict)
        table = table_of(self._state, self._division, endpoint, query.parameters)
        order = settings.sync_order if endpoint.kind == "sync" else "key"
        bare = endpoint.kind == "function" and not settings.paged_reads
        size = len(table.rows) + 1 if bare else settings.page(endpoint)
        tests = (_nothing,) if hidden else row_tests(endpoint, query.parameters, self._state.user)
        page = read_page(endpoint, query, sort_rows(table, order, query, defaults), size, tests)
        answer = Answer(
            endpoint=endpoint,
            rows=[{**defaults, **row} for row in page.rows],
            columns=_columns(endpoint, query),
            root=self._root,
            next_url=None if page.skiptoken is None else self._next_url(page.skiptoken),
            count=page.total,
            bare=bare or query.top is not None,
        )
        return self._with_collections(answer, query)

    def _by_key(self, endpoint: Endpoint) -> Answer:
        row = self._row(endpoint)
        options = {"$top": "1", **self.options}
        query = parse_query(endpoint, options, self._defaults(), lenient=True)
        answer = Answer(
            endpoint=endpoint,
            rows=[{**self._defaults(), **row}],
            columns=_columns(endpoint, query),
            root=self._root,
            single=True,
        )
        if self._target.tail is not None:
            return self._collection_alone(answer)
        return self._with_collections(answer, query)

    def _row(self, endpoint: Endpoint) -> Row:
        """The row that the parentheses name: by its key, in sync feeds by its version."""
        columns = row_columns(endpoint)
        literals = parse_literals(self._target.key or "")
        if len(literals) != len(columns):
            raise bad_request()
        letters = [endpoint.columns[column] for column in columns]
        key = tuple(typed(value, t) for value, t in zip(literals, letters, strict=True))
        table = table_of(self._state, self._division, endpoint)
        if columns == table.key:
            row = table.rows.get(key)
        else:
            row = next((r for r in table.rows.values() if (r["Timestamp"],) == key), None)
        if row is None:
            raise RefusedError(404, NOT_FOUND)
        return row

    def _with_collections(self, answer: Answer, query: Query) -> Answer:
        """The answer with what was expanded, and links to what was not."""
        endpoint = answer.endpoint
        names = [c.name for c in collections_of(endpoint) if c.name not in query.expand]
        expanded = [self._expand(answer, name) for name in query.expand]
        deferred = tuple(names) if query.select is None else ()
        return replace(answer, expanded=tuple(expanded), deferred=deferred)

    def _expand(self, answer: Answer, name: str | None) -> Expansion:
        owners = [row[answer.endpoint.key[0]] for row in answer.rows]
        collection = collection_of(answer.endpoint, name)
        found = collection and expand(self._state, self._division, collection, owners)
        if found is None:
            raise RefusedError(404, NOT_FOUND)
        return found

    def _collection_alone(self, answer: Answer) -> Answer:
        """What stands behind a ``__deferred`` link."""
        _, endpoint, groups = self._expand(answer, self._target.tail)
        (rows,) = groups.values()
        return Answer(endpoint, rows, endpoint.columns, self._root)

    def _counted(self, at: float, endpoint: Endpoint, hidden: bool) -> Response:
        settings, defaults = self._state.settings, self._defaults()
        lenient, strict = settings.lenient, settings.strict
        where = parse_where(endpoint, self.options, defaults, lenient=lenient, strict=strict)
        rows = table_of(self._state, self._division, endpoint).rows.values()
        count = sum(1 for row in rows if where is None or where.matches(row))
        return reply(at, str(0 if hidden else count), "text/plain;charset=utf-8", self._headers)

    def _user_has_rights(self, at: float, endpoint: Endpoint) -> Response:
        query = parse_query(endpoint, self.options, {}, lenient=True)
        asked = str(query.parameters["endpoint"]).lower()
        denied = [
            e.path
            for e in self._state.catalogue
            if "/".join(e.path.lower().split("/")[-2:]) == asked
            and self._state.rights.denial(self._division, e.path)
        ]
        body = f'{{"d":{{"UserHasRights":{"false" if denied else "true"}}}}}'
        return reply(at, body, JSON_TYPE, DATA_HEADERS)

    def _next_url(self, skiptoken: str) -> str:
        """The request's own address with another token; ``$skip`` has done its work."""
        kept = [
            part
            for part in self._request.url.query.split("&")
            if part and part.replace("%24", "$").partition("=")[0] not in {"$skiptoken", "$skip"}
        ]
        token = quote(skiptoken, safe="'(),:-.")
        path = quote(self._request.url.path, safe="/$()',")
        return f"{self._base}{path}?{'&'.join([*kept, f'$skiptoken={token}'])}"


def _columns(endpoint: Endpoint, query: Query) -> Mapping[str, str]:
    if query.select is None:
        return endpoint.columns
    return {column: endpoint.columns[column] for column in query.select}


def _delay(faults: list[Fault]) -> float:
    return sum(fault.seconds for fault in faults if fault.kind == "slow")


def _nothing(_: Row) -> bool:
    return False
