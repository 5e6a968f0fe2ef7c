"""A token is sent only to servers with a certificate from a trusted authority."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from exact_source.auth.token_endpoint import TokenEndpoint
from exact_source.auth.token_response import TokenOutcome
from exact_source.client.call import Call
from exact_source.client.client import ExactClient
from exact_source.clock import SystemClock
from exact_source.errors import RemoteError
from exact_source.tls import _make_context
from tests.support.auth_kit import pair_body
from tests.support.world import Clock, make_box


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    written = folder / "certificate.pem", folder / "key.pem"
    written[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    written[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return written


@dataclass
class Stranger:
    """Says that it is Exact Online, and keeps what it was sent."""

    certificate: Path
    url: str = ""
    heard: list[str] = field(default_factory=list)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    certificate, key = make_certificate(tmp_path)
    found = Stranger(certificate)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(b'{"d":{"results":[]}}')

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(pair_body())

        def answer(self, body: bytes) -> None:
            found.heard.append(self.command)
            self.send_response_only(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # the other side breaks the handshake off

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.url = f"https://localhost:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _make_context.cache_clear()
    yield found
    server.shutdown()
    server.server_close()
    _make_context.cache_clear()


class Token:
    async def access_token(self) -> str:
        return "the-token"

    async def report_rejected(self, access_token: str, *, date: str | None = None) -> str:
        return access_token


async def call(url: str) -> bytes:
    client = ExactClient(Token(), url, clock=Clock(make_box().clock))
    try:
        return await client.get(
            Call(1, "crm/Accounts", "accounts"), "/api/v1/1/crm/Accounts", bytes
        )
    finally:
        await client.close()


def test_a_server_that_nobody_vouches_for_gets_neither_a_call_nor_a_refresh_token(
    stranger: Stranger,
) -> None:
    with pytest.raises(RemoteError, match="accounts"):
        asyncio.run(call(stranger.url))
    answer = asyncio.run(TokenEndpoint(stranger.url, None, SystemClock()).post({"a": "b"}))

    assert answer.outcome is TokenOutcome.UNREACHABLE
    assert stranger.heard == []


def test_a_server_that_an_authority_of_the_company_vouches_for_is_trusted(
    stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some proxies of companies open TLS and close it with a certificate of their own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(stranger.certificate))

    assert asyncio.run(call(stranger.url)) == b'{"d":{"results":[]}}'
    answer = asyncio.run(TokenEndpoint(stranger.url, None, SystemClock()).post({"a": "b"}))

    assert answer.outcome is TokenOutcome.TOKENS
    assert stranger.heard == ["GET", "POST"]
