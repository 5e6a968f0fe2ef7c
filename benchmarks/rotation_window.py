"""Measures how long a new pair exists in memory only, for docs/tokens.md.

    python -m benchmarks.rotation_window [--times 30] [--stores file,sqlite,...]

Rotates the tokens of each store several times against a token endpoint on loopback. The window begins when
the endpoint has handed its reply to the network, and ends when the pair is on this machine's disk: in the
file, or in the journal of a store in a database. A kill -9 in between loses the pair.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from exact_source.auth import FileTokenStorage, OAuth
from tests.support.auth_kit import (
    POSTGRES_STORES,
    STORES,
    BuiltIn,
    Reply,
    SharedClock,
    StoreSpec,
    Wire,
    pair_body,
    tokens,
)
from tests.support.postgres import fresh_database


@dataclass
class Measured:
    """Seconds of each kind for each rotation."""

    windows: list[float] = field(default_factory=list)
    rotations: list[float] = field(default_factory=list)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--stores", default=",".join(STORES))
    options = parser.parse_args()
    sys.stdout.write("| store | answered → on disk, median (longest) | whole rotation, median |\n")
    sys.stdout.write("|---|---|---|\n")
    for kind in options.stores.split(","):
        with store(kind) as spec:
            found = measure(spec, options.times)
        window, longest, whole = (
            1000 * seconds
            for seconds in (median(found.windows), max(found.windows), median(found.rotations))
        )
        sys.stdout.write(f"| {kind} | {window:.1f} ms ({longest:.1f}) | {whole:.0f} ms |\n")


@contextmanager
def store(kind: str) -> Iterator[StoreSpec]:
    """A new store."""
    with tempfile.TemporaryDirectory() as folder:
        if kind not in POSTGRES_STORES:
            yield StoreSpec(kind, folder)
            return
        with fresh_database() as dsn:
            yield StoreSpec(kind, folder, dsn)


def measure(spec: StoreSpec, times: int) -> Measured:
    """Rotate ``times`` times; the first rotation, which makes tables, is not counted."""
    found, storage = Measured(), spec.open()
    storage.save_tokens(tokens())
    clock = SharedClock(Path(spec.folder) / "clock")
    names = [f"pair-{number}-{'x' * 600}" for number in range(times + 1)]
    replies = [Reply(body=pair_body(access_token=n, refresh_token=f"re{n}")) for n in names]
    with Wire(*replies) as wire:
        written = note_writes(storage)
        oauth = OAuth("id", "the-secret", "", storage, base_url=wire.base_url, clock=clock)
        for name in names:
            clock.advance(700)
            began = time.perf_counter()
            assert asyncio.run(oauth.access_token()) == name
            found.rotations.append(time.perf_counter() - began)
            found.windows.append(written[-1] - wire.sent_at[-1])
    return Measured(found.windows[1:], found.rotations[1:])


def note_writes(storage: BuiltIn) -> list[float]:
    """Record the time at which each pair is on disk."""
    moments: list[float] = []

    def noted(write: Callable[[Any], None]) -> Callable[[Any], None]:
        def wrapped(what: Any) -> None:
            write(what)
            moments.append(time.perf_counter())

        return wrapped

    holder: Any = storage if isinstance(storage, FileTokenStorage) else storage._journal  # noqa: SLF001 (nobody else shows it)
    name = "save_tokens" if holder is storage else "write"
    setattr(holder, name, noted(getattr(holder, name)))
    return moments


if __name__ == "__main__":
    main()
