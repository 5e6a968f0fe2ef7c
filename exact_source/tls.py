"""TLS settings shared by httpx and aiohttp."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


def ssl_context(url: str) -> ssl.SSLContext | bool:
    """The TLS context with which httpx and aiohttp verify a server's certificate.

    ``False`` for plain http, which is accepted only for loopback.
    """
    return url.startswith("https:") and _make_context()


@cache
def _make_context() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # takes 20 ms, as it reads a file of authorities
