"""A run that asks Exact Online and loads nothing: for commands that need no destination."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .api.client import ExactClient
from .api.refusals import ErrorFile
from .auth import OAuth, TokenStorage
from .clock import Clock
from .leases import SqlLeases
from .protocol.limits import Limits
from .settings import Settings
from .streams.options import Options
from .streams.run import Run


class AskingRun(Run):
    """The shared answers of a run (divisions, rights), without the destination of a load."""

    error_file: ErrorFile | None = None

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[ExactClient]:
        """The client, open meanwhile."""
        client = self.connection.open(self.rounds.on_wait)
        if self.error_file is not None:
            self.connection.share_errors(self.error_file)
        try:
            yield client
        finally:
            await self.connection.close()


def make_asking_run(
    options: Options,
    settings: Settings,
    storage: TokenStorage,
    clock: Clock,
    limits: Limits | None = None,
    leases: SqlLeases | None = None,
    error_file: ErrorFile | None = None,
) -> AskingRun:
    """A run over a connection; with an ``error_file`` it shares the error limit with syncs."""
    limits = limits or Limits()

    def connect() -> ExactClient:
        oauth = OAuth(
            settings.client_id,
            settings.client_secret,
            settings.redirect_uri,
            storage,
            base_url=settings.base_url,
            clock=clock,
        )
        return ExactClient(
            oauth,
            settings.base_url,
            limits=limits,
            clock=clock,
            admission=leases,
        )

    run = AskingRun(options, connect, clock=clock, limits=limits)
    run.error_file = error_file
    return run
