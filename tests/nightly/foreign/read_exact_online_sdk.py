# mypy: ignore-errors
# ruff: noqa: T201
"""Reads with ``exact-online-sdk``: divisions, all contacts page by page, one account by its code."""

import json
import os
import sys

from exact_online_sdk.auth import ExactOnlineAuth
from exact_online_sdk.client import ExactOnlineClient
from exact_online_sdk.config import Settings

given = json.loads(sys.argv[1])
os.environ |= {
    "EXACT_BASE_URL": given["base_url"],
    "EXACT_CLIENT_ID": given["client_id"],
    "EXACT_CLIENT_SECRET": given["client_secret"],
    "EXACT_REDIRECT_URI": given["redirect_uri"],
    "EXACT_DIVISION": str(given["division"]),
}
settings = Settings.from_env()
auth = ExactOnlineAuth(settings)
auth.exchange_code_for_token(given["code"])
with ExactOnlineClient(settings, auth=auth) as client:
    pages = list(client.iter_pages("crm/Contacts", params={"$select": "ID,FullName"}))
    me = client.get("!current/Me")
rows = [row for page in pages for row in page]
me = me[0] if isinstance(me, list) else me
print(
    json.dumps(
        {"ids": [row["ID"] for row in rows], "pages": len(pages), "division": me["CurrentDivision"]}
    )
)
