# mypy: ignore-errors
# ruff: noqa: E402, T201
"""Reads with ``django-exact``: all accounts page by page, and one by its code."""

import json
import sys

import django
from django.conf import settings

given = json.loads(sys.argv[1])
settings.configure(
    INSTALLED_APPS=["django.contrib.sites", "exact"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    EXACT_ONLINE_REDIRECT_URI=given["redirect_uri"],
    EXACT_ONLINE_CLIENT_ID=given["client_id"],
    EXACT_ONLINE_CLIENT_SECRET=given["client_secret"],
    EXACT_ONLINE_API_URL=f"{given['base_url']}/api",
    EXACT_ONLINE_DIVISION=given["division"],
)
django.setup()
from django.core.management import call_command

call_command("migrate", verbosity=0)
from exact.api import Exact

exact = Exact()
exact.session.authorization_code = given["code"]
exact.get_token()
all_of_them = "Modified ge datetime'2000-01-01T00:00:00'"
rows = list(exact.accounts.filter(filter_string=all_of_them, select="ID,Code"))
one = exact.accounts.get(code=rows[0]["Code"].strip())
print(json.dumps({"ids": [row["ID"] for row in rows], "one": one["ID"]}))
