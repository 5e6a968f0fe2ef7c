"""What row versions of a division tell: its tombstones, read once a run, and the highest one seen."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from ..client.call import Target
from ..clock import Clock
from .call_accounting import Selection
from .connection import Connection
from .deletions import Tombstones, read_tombstones
from .divisions import Divisions


class TombstoneLists:
    """``sync/Deleted`` of each division, for all of its streams.

    Args:
        selection: Whether it is a table of this run, too.
        connection: Asks for it.
        divisions: Know which have moved.
        clock: Time.
        before_call: Is asked before each call, and raises if it shall not be made.

    Attributes:
        since: Division and its last move -> the ``Timestamp`` up to which all streams know them.
        strange: Those of unknown entities, which wait for a load.
        told_by: Division -> the entity whose result tells of strange ones.
    """

    def __init__(
        self,
        selection: Selection,
        connection: Connection,
        divisions: Divisions,
        clock: Clock,
        *,
        before_call: Callable[[Target], None],
    ) -> None:
        self.since: dict[tuple[int, int], int] = {}
        self.strange: list[pa.Table] = []
        self.told_by: dict[int, str] = {}
        self._selection = selection
        self._connection = connection
        self._divisions = divisions
        self._clock = clock
        self._before_call = before_call
        self._versions: dict[int, int] = {}

    async def of(self, division: int, *, whole: bool | None = None) -> Tombstones:
        """What a division said of its deleted rows after ``since``.

        ``whole``: with all columns; default: if they are loaded.
        """
        whole = self._selection.loads("deleted") if whole is None else whole
        moved = next(d.moved for d in await self._divisions.chosen() if d.code == division)
        since = self.since.get((division, self.last_move(division, moved)))

        async def read() -> Tombstones:
            target = Target(
                division,
                "sync/Deleted",
                "deleted",
                rank=-1,
                before_call=self._before_call,
                may_pause=True,
            )
            found = await read_tombstones(self._connection, self._clock, target, since, whole=whole)
            self._selection.note_overhead("deleted", division, found.calls)
            return found

        key = _key(division, whole=whole)
        return await self._connection.once(key, read)  # type: ignore[no-any-return]

    def last_move(self, division: int, moved: int | None) -> int:
        """``DivisionMoveDate``; that of earlier runs if the list of divisions was refused."""
        earlier = (at for code, at in self.since if code == division)
        return max(earlier, default=0) if moved is None else moved

    # -- the highest version -------------------------------------------------------------------

    def highest_version(self, division: int) -> int | None:
        """The highest row version seen of a division in this run."""
        return self._versions.get(division)

    def note_version(self, division: int, version: int | None) -> None:
        """Keep the highest row version seen of a division; they are one series over all entities."""
        self._versions[division] = max(version or 0, self._versions.get(division, 0))

    def forget_versions(self, division: int) -> None:
        """A division turned out to be in another database: its tombstones are listed from the first."""
        self._versions.pop(division, None)
        since = {at: top for at, top in self.since.items() if at[0] == division and top}
        if since:
            self.since.update(dict.fromkeys(since, 0))
            for whole in (True, False):
                self._connection.forget(_key(division, whole=whole))


def _key(division: int, *, whole: bool) -> object:
    return "tombstones", division, whole
