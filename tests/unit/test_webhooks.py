"""What a webhook says, and whether it is Exact's; which entities a topic concerns."""

from __future__ import annotations

import ast
import hmac
import inspect
import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exact_source.catalogue import load_catalogue
from exact_source.errors import ContractError
from exact_source.sandbox.http.webhooks import ALL_TOPICS
from exact_source.sandbox.http.webhooks import TOPICS as SANDBOX_TOPICS
from exact_source.webhooks import (
    TOPICS,
    Notice,
    SignatureError,
    entities_of,
    read_notice,
    topics_for,
)

SECRET = "a-webhook-secret"
CONTENT = (
    b'{"Topic":"Accounts","ClientId":"5a9d0b1e-5a4d-4b0c-9c59-3c1f0a5a4d10","Division":123456,'
    b'"Action":"Update","Key":"8c9d2b6e-0000-4000-a000-000000000001","ExactOnlineEndpoint":'
    b"\"https://start.exactonline.nl/api/v1/123456/crm/Accounts(guid'8c9d2b6e-0000-4000-a000-000000000001')\"}"
)
HASH = b"07DDB4FA54D1799DD397335E460FA6573D7A1C0B1B88D8846A205ECB1EE812F4"  # by openssl dgst


def signed(content: bytes, secret: str = SECRET) -> bytes:
    code = hmac.new(secret.encode(), content, sha256).hexdigest().upper().encode()
    return b'{"Content":' + content + b',"HashCode":"' + code + b'"}'


def test_the_hash_is_compared_in_constant_time() -> None:
    """How long the answer takes must not tell how much of a guess was right; no clock can prove that."""
    tree = ast.parse(inspect.getsource(read_notice))
    compared = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    called = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert (compared, called.count("hmac.compare_digest")) == ([], 1)


def test_the_hash_is_what_openssl_makes_of_the_raw_content() -> None:
    body = b'{"Content":' + CONTENT + b',"HashCode":"' + HASH + b'"}'

    assert read_notice(body, SECRET) == Notice("Accounts", 123456)
    assert read_notice(body.replace(HASH, HASH.lower()), SECRET).topic == "Accounts"


@given(at=st.integers(0, len(signed(CONTENT)) - 1), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_anywhere(at: int, bit: int) -> None:
    body = bytearray(signed(CONTENT))
    body[at] ^= 1 << bit
    case_only = bytes(body).upper() == signed(CONTENT).upper() and at > len(CONTENT) + 11
    if case_only:
        return  # a digit of the hash in the other case

    with pytest.raises(SignatureError):
        read_notice(bytes(body), SECRET)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"null",
        CONTENT,
        signed(CONTENT, "another-secret"),
        signed(CONTENT, ""),
        b'{"HashCode":"' + HASH + b'","Content":' + CONTENT + b"}",
        json.dumps({"Content": json.loads(CONTENT), "HashCode": HASH.decode()}).encode(),
        b'{"Content":' + CONTENT + b',"HashCode":""}',
        b'{"Content":' + CONTENT + b',"HashCode":null}',
        b'{"Content":' + CONTENT + b"}",
        '{"Content":{},"HashCode":"\u00e9"}'.encode(),
    ],
)
def test_what_is_not_signed_with_the_secret_is_refused(body: bytes) -> None:
    with pytest.raises(SignatureError) as caught:
        read_notice(body, SECRET)

    assert SECRET not in str(caught.value)


def test_a_content_that_looks_like_the_end_of_a_webhook_is_read_to_its_own_end() -> None:
    content = (
        b'{"Topic":"Items","Division":7,"Key":",\\"HashCode\\":\\"","HashCode":"' + HASH + b'"}'
    )

    assert read_notice(signed(content), SECRET) == Notice("Items", 7)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"7", b"{", b'{"Topic":"Items"}', b'{"Topic":"Items","Division":"7"}',
        b'{"Topic":"Items","Division":true}', b'{"Topic":null,"Division":7}',
        b'{"Topic":"Items","Division":7.5}', b"\xff",
        b'{"Topic":"Items","Division":0}', b'{"Topic":"Items","Division":-7}',
        b'{"Topic":"Items","Division":2147483648}', b'{"Topic":"Items","Division":1' + b"0" * 5000 + b"}",
        b'{"Topic":' + b"[" * 30_000 + b"]" * 30_000 + b',"Division":7}',
    ],
)  # fmt: skip
def test_a_signed_webhook_without_topic_or_division_is_no_notice(content: bytes) -> None:
    with pytest.raises(ContractError):
        read_notice(signed(content), SECRET)


def test_all_that_is_known_of_topics_is_in_the_catalogue() -> None:
    known = set(load_catalogue().entities)

    assert {name for topic in TOPICS for name in entities_of(topic)} <= known
    assert all(len(set(names)) == len(names) for names in TOPICS.values())


def test_each_topic_of_the_sandbox_leads_back_to_the_entity_it_tells_of() -> None:
    assert all(entity in entities_of(topic) for entity, topic in SANDBOX_TOPICS.items())
    assert all(entities_of(topic) for topic in ALL_TOPICS)


def test_notices_of_entries_cover_postings() -> None:
    assert topics_for(["transaction_lines"]) == [
        "BankEntries", "CashEntries", "GeneralJournalEntries", "PurchaseEntries", "SalesEntries",
    ]  # fmt: skip
    assert topics_for(["journals"]) == []
    assert set(entities_of("FinancialTransactions")) > set(entities_of("BankEntries"))
    assert entities_of("SomethingNew") == ()
