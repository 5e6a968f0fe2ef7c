"""What a worker of a cluster on one machine calls itself, so that one can tell who did a task."""

from __future__ import annotations

import os
import socket


def name() -> str:
    """For Airflow's ``hostname_callable``."""
    return os.environ.get("WORKER_NAME") or socket.gethostname()
