"""How one entity of one division fared in one run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["running", "complete", "incomplete", "waiting", "refused", "failed", "skipped"]


@dataclass
class StreamResult:
    """How one entity of one division fared in one run.

    ``code`` is empty if nothing is wrong, also where ``error`` says that the next round goes on.
    """

    division: int
    entity: str
    feed: str
    started_at: float
    ended_at: float = 0.0
    calls: int = 0
    shared_calls: int = 0  # for the list of divisions and for tombstones, if this stream came first
    rows: int = 0
    deleted: int = 0
    cursor: str = ""
    status: Status = "running"
    error: str = ""
    code: str = ""  # kind of ``error``: that of its class, or one of ``errors.STREAM_CODES``
    resumes_at: float | None = None
    permanent: bool = False  # an error that another run would meet again
    notes: list[str] = field(default_factory=list)

    def end(self, status: Status, error: str = "", code: str = "") -> None:
        """Say how it fared, and of what kind its error is."""
        self.status, self.error, self.code = status, error, code
