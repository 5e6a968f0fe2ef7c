"""Whom to trust at the other end of a connection to Exact Online."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


def trusted(url: str) -> ssl.SSLContext | bool:
    """What httpx and aiohttp are to verify a server's certificate with; plain http is for loopback only."""
    return url.startswith("https:") and _authorities()


@cache
def _authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # reads a file of them, which takes 20 ms
