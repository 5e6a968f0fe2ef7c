"""Subscribes to webhooks: one subscription for each topic of each division (API 7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit

from ..catalogue import load_catalogue
from ..client.call import Call
from ..client.client import ExactClient
from ..client.lists import read_all
from ..client.retry import EXISTS
from ..errors import ConfigurationError, ExactError, LimitError, RefusedError, StreamError
from ..odata.page import PageSchema
from ..odata.query import build_path
from ..settings import LOOPBACK
from .topics import FINANCIAL, TOPICS

ENTITY = "webhook_subscriptions"
PATH = "webhooks/WebhookSubscriptions"
LONGEST_TOPIC = 100
NEAR = 0.9  # likeness of a typing error; SalesOrderLines (0.85) is not a misspelt SalesOrders


@dataclass(frozen=True)
class Subscription:
    """A subscription to one topic of one division.

    Attributes:
        id: Exact's key; empty if unknown.
        callback_url: URL to which Exact posts the webhooks.
        status: ``active``; ``new`` or ``deleted`` if it was created or deleted just now; ``failed``.
        error: Why it failed; empty if it did not.
        code: ``code`` of the error's class.
    """

    division: int
    topic: str
    id: str = ""
    callback_url: str = ""
    status: Literal["active", "new", "deleted", "failed"] = "active"
    error: str = ""
    code: str = ""


class ReceiverError(ExactError):
    """Exact Online refused the callback address, and would refuse it for every topic."""

    code = "receiver"
    remedy = "Start the receiver, make it reachable from the internet, and subscribe again."


class CallbackAddress:
    """The callback URL of the receiver, which Exact calls to verify each new subscription.

    Until Exact has accepted it once, subscriptions are created one at a time. A refusal counts toward
    the error limit (API 2.3), and every company would refuse the URL again.

    Args:
        url: See ``check_callback_url``.

    Attributes:
        is_accepted: Whether Exact has accepted it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_accepted = False
        self._refusal: ReceiverError | None = None
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold while creating a subscription; one at a time until the address is accepted.

        Raises:
            ReceiverError: If Exact has refused the address.
        """
        async with nullcontext() if self.is_accepted else self._one_at_a_time:
            if self._refusal is not None:
                raise self._refusal
            yield

    def refuse(self, division: int, topic: str) -> ReceiverError:
        """Record a refusal; returns the error, which ``turn`` raises from now on."""
        self._refusal = ReceiverError(
            f"division {division}, topic {topic}: Exact Online refused the address {self.url}; "
            "start the receiver and make it reachable from the internet, on the host of the redirect "
            "URI"
        )
        return self._refusal


def check_callback_url(url: str) -> str:
    """Return the callback URL if Exact can post to it.

    Raises:
        ConfigurationError: If it is not https (http is accepted for loopback only).
    """
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not safe or not parts.hostname:
        raise ConfigurationError(
            "--callback-url must be the https address under which Exact Online reaches the receiver"
        )
    return url


def check_topic(topic: str) -> str:
    """Return the topic if it is well formed; Exact may have topics that this package does not know.

    Raises:
        ConfigurationError: If it is not alphanumeric, too long, or almost the name of a known topic.
    """
    if not topic.isalnum() or len(topic) > LONGEST_TOPIC:
        raise ConfigurationError(f"--topics: {topic[:40]!r} is not a topic such as Accounts")
    known = {name.lower(): name for name in (*TOPICS, FINANCIAL)}
    near = get_close_matches(topic.lower(), known, n=1, cutoff=NEAR)
    if near and known[near[0]] != topic:
        raise ConfigurationError(f"--topics: {topic!r} is unknown; did you mean {known[near[0]]}?")
    return topic


async def read_subscriptions(client: ExactClient, division: int) -> list[Subscription]:
    """The app's subscriptions; one with status ``failed`` if the division refuses the list."""
    schema = PageSchema(
        load_catalogue().entities[ENTITY], load_catalogue().entities[ENTITY].feeds["regular"]
    )
    try:
        table = await read_all(client, _call(division), schema)
    except (StreamError, LimitError) as error:
        return [_failed(division, error)]
    return [
        Subscription(division, row["topic"] or "", row["id"], row["callback_url"] or "")
        for row in table.select(["topic", "id", "callback_url"]).to_pylist()
    ]


async def subscribe(
    client: ExactClient, division: int, topics: Sequence[str], address: CallbackAddress
) -> AsyncIterator[Subscription]:
    """Subscribe to the missing topics of a division; yields one result per topic.

    A subscription with another URL is deleted and created again, because it cannot be changed (API 7).
    """
    found = await read_subscriptions(client, division)
    if found and found[0].status == "failed":
        yield found[0]
        return
    there = {subscription.topic: subscription for subscription in found}
    for topic in topics:
        before = there.get(topic)
        if before is not None and before.callback_url in {"", address.url}:
            yield before
            continue
        async with address.turn():  # before the deletion: Exact may refuse the address
            result = None if before is None else await unsubscribe(client, before)
            if result is None or result.status == "deleted":
                result = await _order(client, division, topic, address)
        yield result


async def unsubscribe(client: ExactClient, subscription: Subscription) -> Subscription:
    """Delete a subscription; returns its new state."""
    division, topic, key = subscription.division, subscription.topic, subscription.id
    url = f"{build_path(PATH, division)}(guid'{key}')"
    try:
        await client.change(_call(division), "DELETE", url)
    except (StreamError, LimitError) as error:
        return _failed(division, error, topic, key, subscription.callback_url)
    return Subscription(division, topic, key, subscription.callback_url, "deleted")


async def _order(
    client: ExactClient, division: int, topic: str, address: CallbackAddress
) -> Subscription:
    body = {"CallbackURL": address.url, "Topic": topic}
    try:
        await client.change(_call(division), "POST", build_path(PATH, division), body)
    except RefusedError as error:
        if error.reason == EXISTS:  # created by another user; the webhooks arrive anyway
            return Subscription(division, topic)
        if error.status == HTTPStatus.BAD_REQUEST:
            raise address.refuse(division, topic) from None
        return _failed(division, error, topic)
    except (StreamError, LimitError) as error:
        return _failed(division, error, topic)
    address.is_accepted = True
    return Subscription(division, topic, callback_url=address.url, status="new")


def _failed(
    division: int, error: ExactError, topic: str = "", key: str = "", callback_url: str = ""
) -> Subscription:
    return Subscription(division, topic, key, callback_url, "failed", str(error), error.code)


def _call(division: int) -> Call:
    return Call(division, PATH, ENTITY)
