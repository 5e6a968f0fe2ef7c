"""Serves a folder that ``--record`` made: the same replies to the same calls."""

from __future__ import annotations

import json
import re
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from .http.errors import NOT_FOUND, RefusedError

VERSION = 1
ORIGIN = "{origin}"
DIVISION = re.compile(r"/api/v1/(?:beta/)?(\d+)/")
# Headers that depend on the time of the recording; the sandbox sends its own.
LEFT_OUT = ("date", "-remaining", "-reset")


@dataclass(frozen=True)
class Recorded:
    """One reply of a recording."""

    url: str
    status: int
    headers: dict[str, str]
    body: str


class Replay:
    """The replies of a recording, in their order.

    A call gets the recorded reply to the same path and query. If there is none and the call requests a first
    page, it gets the next recorded first page of the same path. The last matching reply is repeated.

    Args:
        folder: The recording.

    Attributes:
        divisions: Codes of the companies in it.

    Raises:
        ValueError: If there is no such folder, or if it is not a recording.
    """

    def __init__(self, folder: Path) -> None:
        self._same: defaultdict[str, deque[Recorded]] = defaultdict(deque)
        self._first: defaultdict[str, deque[Recorded]] = defaultdict(deque)
        found = list(_read(folder))
        for one in found:
            self._same[one.url].append(one)
            if "$skiptoken=" not in one.url:
                self._first[one.url.partition("?")[0]].append(one)
        codes = (match[1] for one in found if (match := DIVISION.match(one.url)))
        self.divisions = sorted({int(code) for code in codes})

    def find(self, path: str, query: str, base_url: str) -> Recorded:
        """The reply to a call, with links that lead to ``base_url``.

        Raises:
            RefusedError: 404, if the recording has none.
        """
        asked = unquote(path) + (f"?{unquote(query)}" if query else "")
        turn = self._same.get(asked)
        if turn is None and "$skiptoken=" not in asked:
            turn = self._first.get(unquote(path))
        if not turn:
            raise RefusedError(404, NOT_FOUND)
        one = turn.popleft() if len(turn) > 1 else turn[0]
        headers = {n: v for n, v in one.headers.items() if not n.endswith(LEFT_OUT)}
        return replace(one, headers=headers, body=one.body.replace(ORIGIN, base_url))


def _read(folder: Path) -> list[Recorded]:
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    try:
        head = json.loads((folder / "recording.json").read_text("utf-8"))
        files = sorted((folder / "replies").glob("*.json"))
        found: list[dict[str, Any]] = [json.loads(file.read_text("utf-8")) for file in files]
        known = head["version"] == VERSION
        read = [Recorded(one["url"], one["status"], one["headers"], one["body"]) for one in found]
    except (OSError, ValueError, KeyError, TypeError):
        known, read = False, []
    if not known:
        raise ValueError(f"{folder} is not a recording that this version can serve")
    return read
