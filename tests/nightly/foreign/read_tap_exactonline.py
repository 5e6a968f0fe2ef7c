# mypy: ignore-errors
# ruff: noqa: E402
"""Runs ``tap-exactonline``, a Singer tap: all its records go to stdout as Singer messages."""

import json
import sys

from exactonline import http

http.opt_secure.protocols = ("http",)  # loopback without https
import tap_exactonline.client
from tap_exactonline.tap import TapExactOnline

given = json.loads(sys.argv[1])
tap_exactonline.client.get_secret = lambda _: given["secret"]  # it keeps its tokens in AWS
config = {
    "rest_url": f"{given['base_url']}/api",
    "auth_url": f"{given['base_url']}/api/oauth2/auth",
    "token_url": f"{given['base_url']}/api/oauth2/token",
    "base_url": "https://localhost",
    "client_id": given["client_id"],
    "client_secret": given["client_secret"],
    "secret_id": "x",
    "division": given["division"],
}
TapExactOnline(config=config, state=given["state"]).sync_all()
