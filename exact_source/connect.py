"""Creates a connection from the settings, and runs that make calls but load nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from .auth import OAuth, TokenStorage
from .client.adaptations import Adaptations
from .client.client import ExactClient
from .client.error_log import ErrorFile
from .client.limits import Limits
from .client.observing import Observer, observed_transport
from .client.retry import ATTEMPTS
from .clock import Clock, SystemClock
from .engine.run import Run
from .options import Options
from .settings import Settings
from .workers.leases import SqlLeases


class ReadOnlyRun(Run):
    """A run for its shared replies (divisions, rights), without a destination."""

    error_file: ErrorFile | None = None
    attempts: int = ATTEMPTS

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[ExactClient]:
        """The client, open until the block ends."""
        client = self.connection.open(self.rounds.on_wait)
        client.give_up_after(self.attempts)
        if self.error_file is not None:
            self.connection.share_errors(self.error_file)
        try:
            yield client
        finally:
            await self.connection.close()


def make_oauth(settings: Settings, storage: TokenStorage, clock: Clock | None = None) -> OAuth:
    """The OAuth connection according to the settings."""
    return OAuth(
        settings.client_id,
        settings.client_secret,
        settings.redirect_uri,
        storage,
        base_url=settings.base_url,
        clock=clock or SystemClock(),
    )


def connector(
    settings: Settings,
    storage: TokenStorage,
    *,
    limits: Limits,
    clock: Clock,
    leases: SqlLeases | None = None,
    observe: Observer | None = None,
) -> Callable[[], ExactClient]:
    """A function that creates a client, whose locks and connections belong to one event loop.

    ``observe`` is called with each reply.
    """
    # All clients share it, because it keeps refused tokens and tokens that are not stored yet.
    oauth = make_oauth(settings, storage, clock)

    def connect() -> ExactClient:
        return ExactClient(
            oauth,
            settings.base_url,
            limits=limits,
            clock=clock,
            max_response_mb=settings.max_response_mb,
            transport=observed_transport(settings.base_url, settings.max_response_mb, observe),
            admission=leases,
        )

    return connect


def make_read_only_run(  # noqa: PLR0913, PLR0917 (the parts of a run)
    options: Options,
    settings: Settings,
    storage: TokenStorage,
    clock: Clock,
    limits: Limits | None = None,
    leases: SqlLeases | None = None,
    error_file: ErrorFile | None = None,
    observe: Observer | None = None,
    adaptations: Adaptations | None = None,
    attempts: int = ATTEMPTS,
) -> ReadOnlyRun:
    """A run over a connection; with an ``error_file`` it shares the error limit with syncs."""
    limits = limits or Limits()
    connect = connector(
        settings, storage, limits=limits, clock=clock, leases=leases, observe=observe
    )
    run = ReadOnlyRun(options, connect, clock=clock, limits=limits)
    run.error_file, run.attempts = error_file, attempts
    run.connection.adapt(adaptations or Adaptations())
    return run
