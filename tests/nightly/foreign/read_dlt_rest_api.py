# mypy: ignore-errors
# ruff: noqa: T201
"""Reads with the ``rest_api`` source of dlt, configured as its users do for Exact Online."""

import json
import sys

import httpx
from dlt.sources.rest_api import rest_api_source

given = json.loads(sys.argv[1])
form = {"grant_type": "authorization_code", "code": given["code"]}
form |= {name: given[name] for name in ("client_id", "client_secret", "redirect_uri")}
tokens = httpx.post(f"{given['base_url']}/api/oauth2/token", data=form).json()
source = rest_api_source(
    {
        "client": {
            "base_url": f"{given['base_url']}/api/v1/{given['division']}/",
            "auth": {"type": "bearer", "token": tokens["access_token"]},
            "headers": {"Accept": "application/json"},
            "paginator": {"type": "json_link", "next_url_path": "d.__next"},
        },
        "resource_defaults": {"endpoint": {"data_selector": "d.results"}},
        "resources": [
            {"name": "accounts", "endpoint": {"path": "crm/Accounts"}},
            {
                "name": "synced",
                "endpoint": {"path": "sync/CRM/Accounts", "params": {"$select": "ID,Timestamp"}},
            },
        ],
    }
)
print(
    json.dumps({name: [row["ID"] for row in source.resources[name]] for name in source.resources})
)
