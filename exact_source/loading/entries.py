"""The state entries of one entity, by division; many entries are stored as a few compressed texts.

dlt decodes, copies and hashes the whole state several times per load, value by value. Thirty values for each
of seventy thousand streams would take more time and memory than the streams themselves.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from dlt.common.json import json

# More entries than this are packed; fewer remain readable in the state.
PLAIN_MOST = 50
# Entries that are compressed together, and decompressed to read one of them.
BLOCK_ENTRIES = 256
_BLOCKS_AT_HAND = 3
_LEVEL = 1  # zlib level; a higher one takes three times as long and saves a tenth

Entry = Mapping[str, Any]


def items_of(state: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    """Code and entry of each division.

    Args:
        state: State of a resource, or of one of its windows: ``divisions`` has entries by code; ``packed``
            is a list of texts with more entries. An entry in ``divisions`` replaces a packed one.
    """
    plain: Mapping[str, Entry] = state.get("divisions", {})
    yield from plain.items()
    for block in state.get("packed", ()):
        for code, line in _unpacked(block).items():
            if code not in plain:
                yield code, json.loadb(line)


def codes_of(state: Mapping[str, Any]) -> Iterator[str]:
    """Code of each division, as ``items_of``."""
    plain: Mapping[str, Entry] = state.get("divisions", {})
    yield from plain
    for block in state.get("packed", ()):
        yield from (code for code in _unpacked(block) if code not in plain)


class Entries:
    """The entries of one entity during one extraction, which replaces them.

    Args:
        state: State of the resource, or of one of its windows.
    """

    def __init__(self, state: MutableMapping[str, Any]) -> None:
        self._state = state
        self._written: list[str] = []
        if len(state.setdefault("divisions", {})) > PLAIN_MOST:
            self.pack()
        self._earlier: Mapping[str, Entry] = dict(state["divisions"])
        self._blocks: list[str] = state.get("packed", [])
        self._index: dict[int, int] | None = None  # code -> number of its block
        self._at_hand: dict[int, dict[str, bytes]] = {}

    def earlier(self, division: int) -> Entry:
        """The entry after earlier extractions; empty if there is none."""
        code = str(division)
        if code in self._earlier or not self._blocks:
            return self._earlier.get(code, {})
        if self._index is None:
            blocks = enumerate(self._blocks)
            self._index = {int(code): n for n, block in blocks for code in _unpacked(block)}
        number = self._index.get(division)
        entry: Entry = {} if number is None else json.loadb(self._lines(number)[code])
        return entry

    def _lines(self, number: int) -> dict[str, bytes]:
        found = self._at_hand.pop(number, None) or _unpacked(self._blocks[number])
        self._at_hand[number] = found  # most recently used last
        if len(self._at_hand) > _BLOCKS_AT_HAND:
            del self._at_hand[next(iter(self._at_hand))]
        return found

    def set(self, division: int, entry: Entry) -> None:
        """Replace an entry."""
        self._state["divisions"][str(division)] = entry

    def trim(self) -> None:
        """Compress the entries once there are many; only ``pack`` stores them in the state again."""
        plain = self._state["divisions"]
        if len(plain) >= PLAIN_MOST + BLOCK_ENTRIES:
            self._written += _packed(_lines_of(plain))
            plain.clear()

    def pack(self) -> None:
        """Store the entries in the state, packed if there are more than ``PLAIN_MOST``."""
        state = self._state
        packed, plain = state.get("packed", []), state["divisions"]
        if not packed and not self._written and len(plain) <= PLAIN_MOST:
            return
        lines: dict[str, bytes] = {}
        for block in (*packed, *self._written):
            lines |= _unpacked(block)
        lines |= _lines_of(plain)
        if len(lines) > PLAIN_MOST:
            state["packed"], state["divisions"] = _packed(lines), {}
        else:
            state.pop("packed", None)
            state["divisions"] = {code: json.loadb(line) for code, line in lines.items()}
        self._written = []


def _lines_of(plain: Mapping[str, Entry]) -> dict[str, bytes]:
    return {code: json.dumpb(entry) for code, entry in plain.items()}


def _packed(lines: Mapping[str, bytes]) -> list[str]:
    """Texts of up to ``BLOCK_ENTRIES`` lines each; JSON has no line break."""
    texts = [code.encode() + b" " + line for code, line in lines.items()]
    blocks = (texts[n : n + BLOCK_ENTRIES] for n in range(0, len(texts), BLOCK_ENTRIES))
    return [base64.b64encode(zlib.compress(b"\n".join(b), _LEVEL)).decode() for b in blocks]


def _unpacked(block: str) -> dict[str, bytes]:
    """Code -> entry as JSON."""
    lines = zlib.decompress(base64.b64decode(block)).split(b"\n")
    parts = (line.partition(b" ") for line in lines)
    return {code.decode(): entry for code, _, entry in parts}
