"""Names of workers on one machine, so that tests can see which worker ran a task."""

from __future__ import annotations

import os
import socket


def name() -> str:
    """Worker name for Airflow's ``hostname_callable``."""
    return os.environ.get("WORKER_NAME") or socket.gethostname()
