"""Notes which refresh token Exact Online has refused, so that no process sends it again."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ...atomic_file import replace_file


@dataclass(frozen=True)
class Refusal:
    """A refresh token that no longer works.

    Attributes:
        fingerprint: See ``TokenData.fingerprint``.
        reason: Exact Online's message and its meaning, without a secret.
        at: Time of the refusal, seconds since the epoch (UTC).
    """

    fingerprint: str
    reason: str
    at: float


class RefusalFile:
    """The newest refusal, in a file next to a token store on this machine.

    A file that cannot be read or written is not an error: it only causes one more refused token request.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Refusal | None:
        """The newest refusal, ``None`` if there is none."""
        with suppress(OSError, ValueError, TypeError):
            return Refusal(**json.loads(self._path.read_text("utf-8")))
        return None

    def write(self, refusal: Refusal) -> None:
        """Replace the refusal."""
        with suppress(OSError):
            replace_file(self._path, json.dumps(asdict(refusal)))

    def clear(self) -> None:
        """Delete the refusal."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
