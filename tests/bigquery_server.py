"""The emulator of BigQuery on a free port of loopback; run in its own environment, not imported.

Prints its port when it answers, and ends when its input does, so that it never outlives a test run.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import uvicorn
from local_bigquery import app
from local_bigquery.settings import settings


class Server(uvicorn.Server):
    """Says where it is."""

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    settings.data_dir = Path(sys.argv[1])
    threading.Thread(target=end_with_input, daemon=True).start()
    Server(uvicorn.Config(app, port=0, log_level="warning")).run()
