# mypy: ignore-errors
# ruff: noqa: E402, T201
"""Reads with ``python-exact-online``: all journals."""

import json
import os
import sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback without https
from exactonline import config

given = json.loads(sys.argv[1])
config.BASE_URL = f"{given['base_url']}/api/v1"  # these are constants of the package
config.AUTH_URL = f"{given['base_url']}/api/oauth2/auth"
config.ACCESS_TOKEN_URL = f"{given['base_url']}/api/oauth2/token"
from exactonline.api import ExactOnlineAPI
from exactonline.cachehandler import CacheHandler

CacheHandler().resetCache()  # tokens of an earlier run, which the package keeps in its own folder
api = ExactOnlineAPI(given["client_id"], given["client_secret"])
api.authHandler.retrieveToken(f"{given['redirect_url']}&state=s", "s", given["redirect_uri"])
status, _, body = api.get("hrm/Costcenters?$select=ID,Code")
print(json.dumps({"ids": [row["ID"] for row in body["d"]["results"]], "division": api.division}))
