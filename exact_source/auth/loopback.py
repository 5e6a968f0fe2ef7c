"""Listens on this machine for the browser that Exact Online redirects after a login."""

from __future__ import annotations

import hmac
import socket
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from ..errors import AuthenticationError, ConfigurationError

HOSTS = {"127.0.0.1", "localhost", "::1"}
PAGE = "<!doctype html><title>exact-source</title><p>{}</p>"


def loopback_address(redirect_uri: str) -> tuple[str, int, str] | None:
    """Host, port and path to listen on; ``None`` if the redirect URI is not a loopback address."""
    parts = urlsplit(redirect_uri)
    if parts.scheme != "http" or parts.hostname not in HOSTS:
        return None
    host = "::1" if parts.hostname == "::1" else "127.0.0.1"
    return host, parts.port or 80, parts.path or "/"


def wait_for_redirect(address: tuple[str, int, str], state: str, timeout_s: float) -> str:
    """The path and query of the request that has the state of this login.

    Raises:
        ConfigurationError: If the port is in use.
        AuthenticationError: If no browser comes in time.
    """
    host, port, path = address
    found: list[str] = []
    try:
        server = (_Server6 if ":" in host else HTTPServer)(
            (host, port), _handler(path, state, found)
        )
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}); use --no-listen and paste the "
            "address"
        ) from None
    with server:
        server.timeout = 1.0
        until = time.monotonic() + timeout_s
        while not found and time.monotonic() < until:
            server.handle_request()
    if not found:
        raise AuthenticationError(
            f"the browser did not return from Exact Online within {timeout_s:.0f} s: start again"
        )
    return found[0]


class _Server6(HTTPServer):
    address_family = socket.AF_INET6


def _handler(path: str, state: str, found: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0  # a connection that sends nothing must not block the browser

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            given = parse_qs(parts.query).get("state", [""])[0]
            if parts.path != path:
                self._reply(404, "Nothing here.")
            elif not hmac.compare_digest(given.encode(), state.encode()):
                self._reply(400, "This belongs to another login; start again in the terminal.")
            else:
                found.append(self.path)
                self._reply(200, "Thank you. You can close this window.")

        def _reply(self, status: int, text: str) -> None:
            body = PAGE.format(text).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing, because the request line contains the code."""

    return Handler
