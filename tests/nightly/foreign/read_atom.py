# mypy: ignore-errors
# ruff: noqa: T201
"""Reads Atom as taps do: ``lxml`` that forgives, ``xmltodict``, the token cut out of the next link."""

import json
import sys

import feedparser
import requests
import xmltodict
from lxml import etree

given = json.loads(sys.argv[1])
form = {
    "grant_type": "authorization_code",
    "code": given["code"],
    "client_id": given["client_id"],
    "client_secret": given["client_secret"],
    "redirect_uri": given["redirect_uri"],
}
tokens = requests.post(f"{given['base_url']}/api/oauth2/token", data=form, timeout=30).json()
headers = {"Authorization": f"Bearer {tokens['access_token']}"}
url = f"{given['base_url']}/api/v1/{given['division']}/{given['path']}"
params = {"$select": given["select"], "$filter": given["filter"]}
rows, titles, pages = [], set(), 0
while True:
    body = requests.get(url, params=params, headers=headers, timeout=30).content
    pages += 1
    whole = etree.tostring(etree.fromstring(body, parser=etree.XMLParser(recover=True)))
    feed = xmltodict.parse(whole)["feed"]
    entries = feed.get("entry") or []
    entries = entries if isinstance(entries, list) else [entries]
    rows += [entry["content"]["m:properties"] for entry in entries]
    parsed = feedparser.parse(body)
    titles.add(parsed.feed.title)
    links = feed["link"] if isinstance(feed["link"], list) else [feed["link"]]
    following = next((link["@href"] for link in links if link["@rel"] == "next"), None)
    assert following == next((x.href for x in parsed.feed.links if x.rel == "next"), None)
    if following is None:
        break
    params["$skiptoken"] = following.split("&")[-1].split("=")[-1]
print(json.dumps({"rows": rows, "pages": pages, "titles": sorted(titles)}))
