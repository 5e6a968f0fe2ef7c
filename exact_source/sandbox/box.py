"""The Python interface of the sandbox: create one, serve it, change its data, read the log of its calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.routing import Route

from .clock import SandboxClock, wall_clock
from .data.catalogue import Catalogue, Endpoint, Key, Row
from .data.company.awkward import AWKWARD, COMPANIES
from .data.derived import DerivedFeeds
from .data.reading import table_of
from .data.reports import REPORTS
from .data.seeding import FIRST_VERSION, Seeder, seeded
from .data.store import Action, Order, Store, guid
from .deviations import check_deviations
from .http.control import Control
from .http.data import DataCalls
from .http.requests import Request, TokenRequest
from .http.token_calls import TokenCalls
from .http.webhooks import SUBSCRIPTIONS, Webhooks, Written
from .odata.query import project
from .replay import Replay
from .rules.demands import Demand
from .rules.faults import Fault, Faults
from .rules.limits import CallLimits, ErrorLimit
from .rules.oauth import FIRST_USER, OAuth
from .rules.rights import EVERYTHING
from .server import serve
from .state import Language, Settings, State

CLIENT_ID = "5a9d0b1e-5a4d-4b0c-9c59-3c1f0a5a4d10"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - the app exists only in the sandbox
WEBHOOK_SECRET = "sandbox-webhook-secret"  # noqa: S105 - as above
REDIRECT_URI = "https://app.example/callback"
FIRST_DIVISION = 1_000_123
DIVISION_STRIDE = 1_311
DIVISION_LISTS = frozenset({"divisions"})


class Sandbox:
    """A local Exact Online.

    Args:
        companies: Number of divisions, or ``awkward`` for a fixed set of small companies, each with
            a difficult case in its books.
        invoices: Sales invoices per division; the amount of other data is proportional.
        seed: The same seed and clock time give the same data.
        clock: Clock, which tests can move.
        minute_limit: Calls per minute and division.
        daily_limit: Calls per day and division.
        page_size: Rows per page of regular feeds.
        large_page_size: Rows per page of bulk and sync feeds.
        require_select: Which calls must have ``$select``: ``never``, ``seen`` or ``everywhere``.
        require_filter: The same for ``$filter``.
        strict: Shorthand for ``everywhere`` in both.
        latency: Seconds that each data call takes.
        sync_order: ``Timestamp`` or ``key``: how sync feeds are sorted.
        first_version: The first row version; versions above 2**53 do not fit in a double.
        language: ``en`` or ``nl``: language of the user and of error messages.
        errors_everywhere: Whether failed token requests and failed calls without a division also count
            toward the error limit.
        deviations: Names of ``DEVIATIONS``: deliberate differences from Exact Online.
        replay: A recording whose replies are served instead of generated companies.
    """

    def __init__(  # noqa: PLR0913 - each is a setting with a default, given by name
        self,
        *,
        companies: int | str = 2,
        invoices: int = 50,
        seed: int = 1,
        clock: SandboxClock | None = None,
        minute_limit: int = 60,
        daily_limit: int = 5000,
        page_size: int = 60,
        large_page_size: int = 1000,
        require_select: Demand = "seen",
        require_filter: Demand = "never",
        strict: bool = False,
        latency: float = 0.0,
        sync_order: Order = "Timestamp",
        first_version: int = FIRST_VERSION,
        language: Language = "en",
        errors_everywhere: bool = True,
        deviations: Iterable[str] = (),
        replay: Path | None = None,
    ) -> None:
        self.clock = clock or SandboxClock()
        if strict:
            require_select = require_filter = "everywhere"
        self.settings = Settings(
            page_size=page_size,
            large_page_size=large_page_size,
            latency=latency,
            require_select=require_select,
            require_filter=require_filter,
            sync_order=sync_order,
            language=language,
            deviations=check_deviations(deviations),
        )
        self._seed, self._invoices, self._first_version = seed, invoices, first_version
        self._is_awkward = companies == AWKWARD
        count = len(COMPANIES) if self._is_awkward else int(companies)
        self.divisions = [FIRST_DIVISION + n * DIVISION_STRIDE for n in range(count)]
        self._replay = None if replay is None else Replay(replay)
        if self._replay is not None:
            self.divisions = self._replay.divisions or self.divisions
        oauth = OAuth(self.clock, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI)
        now = self.clock.now
        self.state = self._new_state(
            oauth,
            CallLimits(now, minute_limit, daily_limit),
            ErrorLimit(now, everywhere=errors_everywhere),
        )
        self.app = Starlette(routes=self._routes())

    def _new_state(self, oauth: OAuth, limits: CallLimits, errors: ErrorLimit) -> State:
        catalogue, random = Catalogue(), seeded(self._seed, "changes")
        before = wall_clock(self.clock.now())
        seeder = Seeder(
            catalogue,
            self.divisions,
            self._invoices,
            self._seed,
            before,
            self._first_version,
            is_awkward=self._is_awkward,
        )
        store = Store(
            catalogue,
            self.clock,
            seeder,
            first_version=seeder.next_version,
            random=random,
            shared=DIVISION_LISTS,
        )
        webhooks = Webhooks(oauth.client_id, WEBHOOK_SECRET)

        def tell(division: int, entity: str, action: Action, key: Key, row: Row) -> None:
            subscriptions = list(store.table(division, SUBSCRIPTIONS).rows.values())
            webhooks.tell(subscriptions, division, Written(entity, action, key[0]), row)

        store.report_to(DerivedFeeds(store), tell)
        return State(
            settings=self.settings,
            clock=self.clock,
            catalogue=catalogue,
            store=store,
            oauth=oauth,
            limits=limits,
            errors=errors,
            random=random,
            divisions=self.divisions,
            user=guid(seeded(self._seed, "user")),
            faults=Faults(seeded(self._seed, "faults")),
            webhooks=webhooks,
            replay=self._replay,
        )

    def _routes(self) -> list[Route]:
        tokens, data = TokenCalls(self.state), DataCalls(self.state)
        methods = ["GET", "POST", "PUT", "DELETE"]
        return [
            Route("/api/oauth2/auth", tokens.authorize),
            Route("/api/oauth2/token", tokens.token, methods=["POST"]),
            Route("/api/v1/{path:path}", data.__call__, methods=methods),
            *Control(self).routes(),
        ]

    @contextmanager
    def serve(self, port: int = 0) -> Iterator[str]:
        """Serve on a loopback socket in the background; yields the base URL, without a trailing slash."""
        with serve(self.app, port) as base_url:
            yield base_url

    @property
    def client_id(self) -> str:
        """Client id of the one registered app."""
        return self.state.oauth.client_id

    @property
    def client_secret(self) -> str:
        """Client secret of the one registered app."""
        return self.state.oauth.client_secret

    @property
    def redirect_uri(self) -> str:
        """Redirect URI of the one registered app."""
        return self.state.oauth.redirect_uri

    @property
    def webhooks(self) -> Webhooks:
        """The webhooks sent to subscribers; ``drain()`` waits for the last reply."""
        return self.state.webhooks

    def login(self, user: str = FIRST_USER) -> dict[str, str]:
        """Log in as a browser would; returns ``{"code": ..., "redirect_url": ...}``.

        The code is valid for 3 minutes.

        ``user`` is any name; logins of one user share the minimum time between refreshes.
        """
        asked = {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "response_type": "code",
        }
        redirect_url = self.state.oauth.authorize(asked, user)
        code = dict(parse_qsl(urlsplit(redirect_url).query))["code"]
        return {"code": code, "redirect_url": redirect_url}

    def issue_tokens(self, user: str = FIRST_USER) -> dict[str, Any]:
        """The token reply of a new login, without HTTP."""
        connection = self.state.oauth.new_connection(user)
        return self.state.oauth.issue(connection)

    def rows(self, path: str, division: int) -> list[Row]:
        """All rows of an endpoint in a division, with every column of the endpoint.

        Values are ``str``, ``int``, ``float``, ``bool``, naive ``datetime`` (Dutch wall clock) or ``None``.
        They are the stored values, without the blanks that replies add to short texts.
        """
        endpoint, defaults = self._endpoint(path), self.state.defaults(division)
        with self.state.store.lock:
            rows = table_of(self.state, division, endpoint).ordered("key")[1]
            return [project(row, endpoint.columns, defaults) for row in rows]

    def insert(self, path: str, division: int, row: Mapping[str, Any]) -> Row:
        """Add a row.

        A guid key, ``Created``, ``Modified`` and ``Timestamp`` are generated unless given.

        Returns:
            The stored row.

        Raises:
            ValueError: If the key exists already or a column does not exist.
        """
        return dict(self.state.store.insert(division, self._stored(path), row))

    def update(self, path: str, division: int, key: Any | Key, changes: Mapping[str, Any]) -> Row:
        """Change a row; sets ``Modified`` to now unless given, and increases ``Timestamp``.

        ``key`` is the value of the key column, or a tuple if the key has several columns.
        """
        return dict(self.state.store.update(division, self._stored(path), _key(key), changes))

    def delete(self, path: str, division: int, key: Any | Key) -> None:
        """Delete a row and its lines; feeds with tombstones get one for each deleted row."""
        self.state.store.delete(division, self._stored(path), _key(key))

    def touch(
        self,
        path: str,
        division: int,
        keys: Sequence[Any] | None = None,
        modified: datetime | None = None,
    ) -> None:
        """Write rows again without changing their values, all with the same ``Modified``.

        ``keys`` selects the rows, ``None`` for all; ``modified`` is a wall-clock time, ``None`` for now.
        """
        entity, store = self._stored(path), self.state.store
        with store.lock:
            moment = modified or wall_clock(self.clock.now())
            rows = store.table(division, entity).rows
            for key in list(rows) if keys is None else [_key(key) for key in keys]:
                store.update(division, entity, key, {"Modified": moment})

    def move_division(self, division: int) -> None:
        """Move a company to another database: new, lower row versions and a ``DivisionMoveDate``."""
        self.state.store.move(division)
        moved = wall_clock(self.clock.now())
        self.update("system/Divisions", division, division, {"DivisionMoveDate": moved})

    def block_division(self, division: int, status: int = 1) -> None:
        """Set ``BlockingStatus``; unless it is 0, calls in the division get 403 (API section 5)."""
        self.update("system/Divisions", division, division, {"BlockingStatus": status})

    def drop_property(self, path: str, column: str) -> None:
        """Withdraw a column of one endpoint: calls that select it get 400, and ``$metadata`` omits it."""
        self.state.catalogue.drop_column(path, column)

    def drop_endpoint(self, path: str) -> None:
        """Retire one endpoint: calls to it get 404, and ``$metadata`` omits it; its rows stay."""
        self.state.catalogue.drop_endpoint(path)

    def consume(self, division: int, calls: int = 1) -> None:
        """Use up calls, as another client of the same app would."""
        self.state.limits.consume(division, calls)

    def deny(self, division: int, path: str = EVERYTHING, how: str = "403") -> None:
        """Revoke the right to read a path; see ``Rights.deny``."""
        if path != EVERYTHING:
            self._endpoint(path)
        self.state.rights.deny(division, path, how)

    def allow(self, division: int, path: str = EVERYTHING) -> None:
        """Restore a right; without a path, all rights in the division."""
        self.state.rights.allow(division, path)

    def fault(
        self,
        kind: str | int,
        *,
        path: str | None = None,
        division: int | None = None,
        times: int | None = None,
        after: int = 0,
        probability: float | None = None,
        seconds: float = 1.0,
    ) -> Fault:
        """Inject a fault; see ``faults`` for the kinds.

        Args:
            kind: A status such as 503, or a word such as ``truncate``.
            path: Endpoint or pattern (``sync/*``); ``None`` for all.
            division: ``None`` for all.
            times: How often; ``None``: once, or unlimited if a probability is given.
            after: Number of matching calls that succeed first.
            probability: Probability that a matching call fails.
            seconds: Delay of ``slow``.
        """
        if times is None and probability is None:
            times = 1
        rule = Fault(str(kind), path, division, times, after, probability, seconds)
        return self.state.faults.add(rule)

    @property
    def requests(self) -> list[Request]:
        """The data calls so far; clear the list to count from zero."""
        return self.state.requests

    @property
    def token_requests(self) -> list[TokenRequest]:
        """The calls to the token endpoint so far."""
        return self.state.token_requests

    def max_in_flight(self, division: int) -> int:
        """The largest number of calls of a division that ran at the same time."""
        return self.state.in_flight.most(division)

    def reset(self) -> None:
        """Restore the seeded data and clear limits, faults and logs; logins stay."""
        old = self.state
        limits = CallLimits(self.clock.now, old.limits.minute_limit, old.limits.daily_limit)
        errors = ErrorLimit(
            self.clock.now,
            old.errors.allowed,
            old.errors.status,
            everywhere=old.errors.everywhere,
        )
        with old.store.lock:
            vars(old).update(vars(self._new_state(old.oauth, limits, errors)))

    def _endpoint(self, path: str) -> Endpoint:
        return self.state.catalogue.endpoint(path)

    def _stored(self, path: str) -> str:
        entity = self._endpoint(path).entity
        if entity in REPORTS:
            raise ValueError(f"{path} is derived from other rows; change those")
        return entity


def _key(key: Any | Key) -> Key:
    return key if isinstance(key, tuple) else (key,)
