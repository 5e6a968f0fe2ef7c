# mypy: ignore-errors
# ruff: noqa: T201
"""Reads with ``exactpy``: the user, and all G/L accounts page by page, without ``$select``."""

import json
import os
import sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback without https
from exactpy.client import Client

given = json.loads(sys.argv[1])
cache = {"cache_path": "creds.json"}
client = Client(
    client_id=given["client_id"],
    client_secret=given["client_secret"],
    redirect_url=given["redirect_uri"],
    base_url=f"{given['base_url']}/api",
    division=given["division"],
    write_cache_callable_kwargs=cache,
    read_cache_callable_kwargs=cache,
    verbose=False,
)
client.auth_client.acquire_token(f"{given['redirect_url']}&state=s")
me = client.system.me.show()
pages = list(client.financial.gl_accounts.all_paged(skip_invalid=False))
ids = [str(row.id) for page in pages for row in page]
print(json.dumps({"ids": ids, "pages": len(pages), "division": me.current_division}))
