# mypy: ignore-errors
# ruff: noqa: E402
"""Runs ``tap-exact``, a Singer tap: all its records go to stdout as Singer messages."""

import json
import sys
from pathlib import Path

from exactonline import http

http.opt_secure.protocols = ("http",)  # loopback without https
from tap_exact.tap import TapExactOnline

given = json.loads(sys.argv[1])
Path("exact.ini").write_text(given["ini"])
config = {"config_file_location": "exact.ini", "start_date": "2000-01-01"}
TapExactOnline(config=config).sync_all()
