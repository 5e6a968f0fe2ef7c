"""The connection of a run: its client, which is new in each round, and replies that are fetched once."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ..catalogue import load_catalogue
from ..client.adaptations import Adaptations
from ..client.call import Call, OnWait
from ..client.client import ExactClient
from ..client.error_log import ErrorFile
from ..client.limits import Limits
from ..clock import Clock
from ..errors import LimitError, TooFewCallsError
from .call_accounting import LISTS

T = TypeVar("T")

THREADS = min(4, os.cpu_count() or 1)
LARGEST_MAPPED = 31 << 20  # bytes; glibc does not adapt its limit to blocks above 32 MB


class Connection:
    """Sends the calls of all streams of a run.

    Args:
        connect: Creates a client in the running event loop; each round has its own loop.
        clock: Clock.
        limits: Call limits, for all rounds.

    Attributes:
        withdrawn: Path -> fields of a list that Exact is known to have withdrawn.
        adaptations: Differences of the site from the assumptions, according to ``verify``.
    """

    def __init__(self, connect: Callable[[], ExactClient], clock: Clock, limits: Limits) -> None:
        self.withdrawn: Mapping[str, tuple[str, ...]] = {}
        self.adaptations = Adaptations()
        self._connect = connect
        self._clock = clock
        self._limits = limits
        self._client: ExactClient | None = None
        self._error_file: ErrorFile | None = None
        self._locks: dict[object, asyncio.Lock] = {}
        self._answers: dict[object, Any] = {}
        self._threads: ThreadPoolExecutor | None = None

    # -- its two ends --------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether there is a client."""
        return self._client is not None

    @property
    def client(self) -> ExactClient:
        """The open client.

        Raises:
            LimitError: If the connection is closed. If one stream ends the run, others may be about to send.
        """
        if self._client is None:
            raise LimitError(
                "no call was made, because the run ended", resumes_at=self._clock.now()
            )
        return self._client

    def open(self, on_wait: OnWait) -> ExactClient:
        """A client for the running event loop; ``on_wait`` is called for each of its waits."""
        self._client = client = self._connect()
        client.report_to(on_wait, self._keep_errors)
        self._locks = defaultdict(asyncio.Lock)
        return client

    def adapt(self, adaptations: Adaptations) -> None:
        """Apply the adaptations that ``verify`` found for the site."""
        self.adaptations = adaptations

    def share_errors(self, file: ErrorFile) -> None:
        """Share the count of errors with all processes that use the same file."""
        self._error_file = file
        file.recall(self._limits)

    async def close(self) -> None:
        """Close the client; another one may be opened."""
        client, self._client = self.client, None
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)
        self._keep_errors()
        await client.close()

    def _keep_errors(self) -> None:
        """Store errors immediately: if the process is killed, Exact's count continues (API 2.3)."""
        if self._error_file is not None:
            self._error_file.keep(self._limits, self._clock.now())

    def in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run work that releases the GIL, in a thread that ends with the connection."""
        if self._threads is None:
            _keep_freed_memory()
            self._threads = ThreadPoolExecutor(THREADS, "exact-parse")
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def too_few_calls(self, calls: int, resumes_at: float) -> TooFewCallsError | None:
        """See ``Limits``."""
        return self._limits.too_few_calls(calls, resumes_at)

    # -- replies that are fetched once -----------------------------------------------------------

    def lock(self, key: object) -> asyncio.Lock:
        """A lock by which streams take turns."""
        return self._locks[key]

    async def once(self, key: object, fetch: Callable[[], Awaitable[Any]]) -> Any:
        """The value of ``fetch()``, which is called only once per key."""
        async with self.lock(key):
            if key not in self._answers:
                self._answers[key] = await fetch()
        return self._answers[key]

    def forget(self, key: object) -> None:
        """Discard a value, so that the next ``once`` fetches it again."""
        self._answers.pop(key, None)

    async def has_rights(self, call: Call, path: str) -> bool:
        """Whether the user may read an endpoint; for sync and bulk feeds, the regular endpoint.

        Args:
            call: Call with the division; it may cancel the request.
            path: Path of the endpoint.

        Raises:
            StreamError: If the call fails.
        """
        name = path if self.adaptations.rights_by_path else rights_name(path)

        async def ask() -> bool:
            return await self.client.has_rights(call, name)

        return bool(await self.once(("rights", call.division, name), ask))

    def recall_withdrawn(
        self, known: Mapping[str, Sequence[str]], full_refresh: Collection[str]
    ) -> None:
        """Read lists without the columns that earlier runs found to be withdrawn.

        A full refresh of a list requests them again.
        """
        entities = load_catalogue().entities
        asked_again = {
            feed.path
            for name in LISTS
            if name in full_refresh
            for feed in entities[name].feeds.values()
        }
        recalled = {p: tuple(fields) for p, fields in known.items() if p not in asked_again}
        self.withdrawn = {**self.withdrawn, **recalled}

    def note_withdrawn(self, path: str, fields: Iterable[str]) -> None:
        """Add to the withdrawn fields of a list."""
        # Streams of several divisions may report the same fields at the same time.
        known = dict.fromkeys([*self.withdrawn.get(path, ()), *fields])
        self.withdrawn = {**self.withdrawn, path: tuple(known)}


def rights_name(path: str) -> str:
    """Name of an endpoint for ``users/UserHasRights``, such as ``CRM/Accounts`` (API 5)."""
    parts = path.split("/")
    service, name = parts[-2:] if len(parts) > 1 else ("", path)
    service = (
        service.upper() if service in {"crm", "hrm", "vat"} else service[:1].upper() + service[1:]
    )
    return f"{service}/{name}"


def _keep_freed_memory() -> None:
    """Let glibc keep the memory of parsed bodies for the next ones, which halves the page faults of a load.

    glibc returns free memory to the kernel if there is more than twice the largest block that it has mapped
    and freed before. One large block raises this limit; other C libraries ignore it.
    """
    bytes(LARGEST_MAPPED)  # mapped, never written, and freed
