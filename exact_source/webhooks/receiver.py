"""The ASGI app to which Exact Online posts its webhooks.

It answers 200 once the notice is stored; Exact sends a webhook again after any other answer (API 12.15). A
repeated webhook, even after days, only causes one more read.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from ..auth.masking import clean_text
from ..errors import ConfigurationError, ContractError
from ..settings import SECTION
from .notices import Notices, NoticesError
from .settings import load_webhook_settings
from .signed import SignatureError, read_notice
from .topics import entities_of

MAX_BODY = 64 * 1024  # bytes; a webhook has about 300
BODY_S = 10.0  # seconds in which a body must arrive
logger = logging.getLogger(__name__)


def make_receiver(secret: str, notices: Notices, path: str) -> Starlette:
    """An app that accepts webhooks at one path.

    Args:
        secret: Webhook secret of the app.
        notices: Table in which webhooks are recorded; it must exist.
        path: Path of the callback URL.
    """

    async def receive(request: Request) -> Response:
        try:
            async with asyncio.timeout(BODY_S):
                body = await _body(request)
        except TimeoutError:
            return _answer(HTTPStatus.REQUEST_TIMEOUT)
        if body is None:
            return _answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if not body:
            return _answer(HTTPStatus.OK)  # Exact tests the URL during a subscription (API 7)
        return _answer(await run_in_threadpool(_note, body, secret, notices))

    return Starlette(routes=[Route(path, receive, methods=["POST"])])


def _note(body: bytes, secret: str, notices: Notices) -> HTTPStatus:
    """Record a webhook; only its topic and division are logged."""
    try:
        notice = read_notice(body, secret)
        entities = entities_of(notice.topic)
        if entities:
            notices.record(notice.division, entities)
    except SignatureError as error:
        logger.warning("%s", error)
        return HTTPStatus.UNAUTHORIZED
    except ContractError as error:
        logger.warning("%s", error)
        return HTTPStatus.BAD_REQUEST
    except NoticesError as error:
        logger.error("%s", error)  # noqa: TRY400 (one line; the traceback could show the webhook)
        return HTTPStatus.SERVICE_UNAVAILABLE
    known = "" if entities else ", which nothing here reads"
    logger.info("%s of division %d%s", clean_text(notice.topic), notice.division, known)
    return HTTPStatus.OK


def receiver_from_settings() -> Starlette:
    """The app according to the settings, for any ASGI server, such as ``uvicorn --factory``.

    Raises:
        ConfigurationError: If ``webhook_secret`` is not set, or ``notices_url`` cannot be used.
        NoticesError: If the table cannot be created.
    """
    settings = load_webhook_settings()
    if settings.secret is None:
        raise ConfigurationError(
            f"{SECTION}.webhook_secret is not set: copy it from the app's page in the app centre to "
            ".dlt/secrets.toml or SOURCES__EXACT_ONLINE__WEBHOOK_SECRET"
        )
    notices = Notices(settings.notices_url)
    notices.prepare()
    return make_receiver(settings.secret, notices, settings.path)


async def _body(request: Request) -> bytes | None:
    """The body; ``None`` if it is too long or too slow for a webhook."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return None
    except ClientDisconnect:
        return None
    return bytes(body)


def _answer(status: HTTPStatus) -> Response:
    return Response(status_code=status)
