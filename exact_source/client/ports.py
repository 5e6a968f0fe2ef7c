"""The parts of other packages that the client uses: a source of tokens, and leases."""

from __future__ import annotations

from typing import Protocol


class TokenSource(Protocol):
    """The part of ``OAuth`` that the client uses."""

    async def access_token(self) -> str:
        """A valid access token."""
        ...

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        """Report that a call with this token was rejected, with the reply's ``Date``; returns a new one."""
        ...


class Admission(Protocol):
    """The part of the leases that the client uses."""

    async def admit(self, division: int) -> None:
        """Return if this worker may make calls for a division now, otherwise raise ``HeldError``."""
        ...
