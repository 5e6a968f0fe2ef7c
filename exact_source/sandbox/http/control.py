"""``/_sandbox/``: change data, clock, limits and faults of the sandbox over HTTP.

The body of each ``POST`` is a JSON object with the arguments of the method of the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ..data.catalogue import Row
from .arguments import WHOLE, Arguments, check_arguments, check_division, parse_arguments
from .control_page import control_page

if TYPE_CHECKING:
    from ..box import Sandbox

BAD_REQUEST = 400
LAST_REQUESTS = 500


class Control:
    """The control endpoints of one sandbox."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._actions: dict[str, Callable[[Arguments], Any]] = {
            "insert": self._insert,
            "update": self._update,
            "delete": self._delete,
            "touch": self._touch,
            "clock": self._clock,
            "move_division": lambda a: box.move_division(**a),
            "block_division": lambda a: box.block_division(**a),
            "consume": lambda a: box.consume(**a),
            "deny": lambda a: box.deny(**a),
            "allow": lambda a: box.allow(**a),
            "fault": lambda a: asdict(box.fault(**a)),
            "clear_faults": lambda _: box.state.faults.clear(),
            "reset": lambda _: box.reset(),
            "login": lambda a: box.login(**a),
        }

    def routes(self) -> list[Route]:
        """The routes of the control endpoints."""
        return [
            Route("/", self._page),
            Route("/_sandbox/", self._page),
            Route("/_sandbox/stats", self._stats),
            Route("/_sandbox/requests", self._requests),
            Route("/_sandbox/rows/{division:int}/{path:path}", self._rows),
            Route("/_sandbox/{action}", self._act, methods=["POST"]),
        ]

    async def _page(self, request: HttpRequest) -> Response:
        return HTMLResponse(
            control_page(self._box, str(request.base_url).rstrip("/"), self.stats())
        )

    async def _stats(self, _: HttpRequest) -> Response:
        return JSONResponse(self.stats())

    async def _requests(self, _: HttpRequest) -> Response:
        calls = [dict(asdict(call)) for call in self._box.requests[-LAST_REQUESTS:]]
        tokens = [
            {"grant_type": t.grant_type, "status": t.status, "error": t.error, "at": t.at}
            for t in self._box.token_requests[-LAST_REQUESTS:]
        ]
        return JSONResponse({"requests": calls, "token_requests": tokens})

    async def _rows(self, request: HttpRequest) -> Response:
        division, path = request.path_params["division"], request.path_params["path"]
        try:
            check_division(division, self._box.divisions)
            rows = self._box.rows(path, division)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, BAD_REQUEST)
        return JSONResponse([_plain(row) for row in rows])

    async def _act(self, request: HttpRequest) -> Response:
        name = request.path_params["action"]
        action = self._actions.get(name)
        if action is None:
            return JSONResponse({"error": f"the actions are {', '.join(self._actions)}"}, 404)
        try:
            arguments = parse_arguments(name, await request.body())
            check_arguments(name, arguments, self._box.divisions)
            result = action(arguments)
        except KeyError as error:
            return JSONResponse({"error": f"there is no row with the key {error}"}, BAD_REQUEST)
        except (ValueError, TypeError) as error:
            return JSONResponse({"error": f"{error}"}, BAD_REQUEST)
        return JSONResponse({"result": _plain(result) if isinstance(result, dict) else result})

    def stats(self) -> dict[str, Any]:
        """The calls of each division, and the faults in force."""
        box, state = self._box, self._box.state
        return {
            "now": datetime.fromtimestamp(box.clock.now(), UTC).isoformat(),
            "frozen": box.clock.frozen,
            "connections": len(state.oauth.connections),
            "token_requests": len(box.token_requests),
            "faults": [asdict(fault) for fault in state.faults.rules],
            "divisions": {
                str(division): {
                    "name": state.store.table(division, "divisions").rows[division,]["Description"],
                    "calls": sum(1 for call in box.requests if call.division == division),
                    "minute": state.limits.used(division)[0],
                    "day": state.limits.used(division)[1],
                    "max_in_flight": box.max_in_flight(division),
                }
                for division in box.divisions
            },
        }

    def _insert(self, arguments: Arguments) -> Row:
        path, division = arguments["path"], arguments["division"]
        return self._box.insert(path, division, self._typed(path, arguments["row"]))

    def _update(self, arguments: Arguments) -> Row:
        path, division = arguments["path"], arguments["division"]
        changes = self._typed(path, arguments["changes"])
        return self._box.update(path, division, _key(arguments["key"]), changes)

    def _delete(self, arguments: Arguments) -> None:
        self._box.delete(arguments["path"], arguments["division"], _key(arguments["key"]))

    def _touch(self, arguments: Arguments) -> None:
        modified = arguments.get("modified")
        self._box.touch(
            arguments["path"],
            arguments["division"],
            arguments.get("keys"),
            None if modified is None else _moment(modified),
        )

    def _clock(self, arguments: Arguments) -> dict[str, Any]:
        clock = self._box.clock
        if "set" in arguments:
            clock.set(datetime.fromisoformat(arguments["set"]))
        if "advance" in arguments:
            clock.advance(float(arguments["advance"]))
        if "frozen" in arguments:
            (clock.freeze if arguments["frozen"] else clock.run)()
        return {"now": datetime.fromtimestamp(clock.now(), UTC).isoformat(), "frozen": clock.frozen}

    def _typed(self, path: str, row: Row) -> Row:
        """A row with ISO dates converted to dates.

        Raises:
            ValueError: If a date or the row version is not valid, because rows are sorted by them.
        """
        columns = self._box.state.catalogue.entity_of(path).columns
        dates = {"Created", "Modified"} | {
            name for name, type_code in columns.items() if type_code == "t"
        }
        version = row.get("Timestamp")
        if version is not None and not WHOLE.fits(version):
            raise ValueError(f"Timestamp is {WHOLE.words}, not {version!r}")
        return {
            name: _moment(value) if name in dates and value is not None else value
            for name, value in row.items()
        }


def _moment(text: Any) -> datetime:
    """Parse a wall-clock time; a zone, if there is one, is dropped."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except (ValueError, TypeError):
        raise ValueError(f"a date reads like 2026-01-31T12:00:00, not {text!r}") from None


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if not name.startswith("__")
    }
