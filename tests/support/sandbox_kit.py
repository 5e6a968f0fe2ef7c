"""Shared by the tests of the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx

from exact_source.sandbox import Sandbox, SandboxClock

# A summer noon on a whole minute; 14:00 in Dutch time.
NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)
BASE_URL = "http://sandbox.test"
JSON = {"Accept": "application/json"}
ALL_ACCOUNTS = "Modified ge datetime'1900-01-01T00:00:00'"


def new_box(**options: Any) -> Sandbox:
    """A sandbox with a stopped clock and a large limit per minute."""
    defaults: dict[str, Any] = {"clock": SandboxClock(NOON, frozen=True), "minute_limit": 10_000}
    return Sandbox(**{"invoices": 12, **defaults, **options})


class Caller:
    """A client without a socket, logged in."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.division = box.divisions[0]
        self.token = box.issue_tokens()["access_token"]

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        content: str | None = None,
    ) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.box.app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
                return await client.request(
                    method, url, headers=headers, data=data, content=content
                )

        return asyncio.run(go())

    def get(
        self,
        path: str,
        options: Mapping[str, str] | None = None,
        *,
        division: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Read an endpoint of a division as JSON; encodes ``options``."""
        query = "&".join(f"{name}={quote(text)}" for name, text in (options or {}).items())
        url = f"/api/v1/{division or self.division}/{path}{'?' + query if query else ''}"
        return self.follow(url, headers)

    def follow(self, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        bearer = {"Authorization": f"Bearer {self.token}"}
        return self.send("GET", url, bearer | JSON | dict(headers or {}))

    def pages(self, path: str, options: Mapping[str, str]) -> list[list[dict[str, Any]]]:
        """All pages of a list."""
        found, answer = [], self.get(path, options)
        while True:
            body = answer.json()["d"]
            found.append(body["results"])
            if "__next" not in body:
                return found
            answer = self.follow(body["__next"])

    def rows(self, path: str, options: Mapping[str, str]) -> list[dict[str, Any]]:
        return [row for page in self.pages(path, options) for row in page]

    def token_request(self, **form: str) -> httpx.Response:
        app = {"client_id": self.box.client_id, "client_secret": self.box.client_secret}
        return self.send("POST", "/api/oauth2/token", data=app | form)


def error_text(answer: httpx.Response) -> str:
    """The message in Exact's error body."""
    error = answer.json()["error"]
    assert error["code"] == ""
    return str(error["message"]["value"])
