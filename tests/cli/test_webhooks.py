"""From a row that changes to a sync that reads no more than that: subscriptions, receiver, notices."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import dlt
import httpx
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.pipeline.exceptions import PipelineStepFailed
from starlette.types import Message

from exact_source.cli.webhooks import show
from exact_source.loading.session import Session
from exact_source.sandbox.server import serve
from exact_source.source import run_source
from exact_source.webhooks import Notices, load_webhook_settings
from exact_source.webhooks.receiver import MAX_BODY, make_receiver
from exact_source.webhooks.server import HEAD_S, MAX_CONNECTIONS, LimitedProtocol, make_server
from exact_source.webhooks.signed import sign
from exact_source.webhooks.subscriptions import CallbackAddress, ReceiverError, Subscription
from tests.cli.test_pace import Jumps
from tests.support.cli_fixtures import Cli, Result
from tests.support.fixtures import MakeWorld
from tests.support.world import Calls, World, billed

ENTITIES = ("accounts", "journals")
LISTS = ["current/Me", "system/Divisions"]
PATH = "webhooks/WebhookSubscriptions"
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
PAGE_COMMANDS = re.findall(r"^ *(exact-source .*)$", PAGE.read_text(), re.MULTILINE)


@contextmanager
def receiving(world: World) -> Iterator[tuple[str, Notices]]:
    """A receiver on a socket, and what it notes."""
    notices = Notices(f"sqlite:///{world.folder / 'notices.db'}")
    notices.prepare()
    with serve(make_receiver(world.box.webhooks.secret, notices, "/exact")) as base_url:
        yield f"{base_url}/exact", notices


def subscribe(world: World, url: str, *topics: str) -> None:
    """Subscribe to webhooks, as in an earlier run."""
    for division in world.box.divisions:
        for topic in topics:
            row = {"Topic": topic, "CallbackURL": url}
            world.box.insert(PATH, division, row)


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Two companies, and pages that hold all of their rows."""
    found: World = make_world(large_page_size=1000, page_size=60)
    return found


@pytest.fixture
def heard(world: World) -> Iterator[Notices]:
    """All that matters is told, and the tables are up to date."""
    with receiving(world) as (url, notices):
        subscribe(world, url, "Accounts", "SalesEntries")
        world.sync(*ENTITIES)
        yield notices


def sync_changed(
    world: World, notices: Notices, entities: Sequence[str] = ENTITIES, **options: Any
) -> Calls:
    """``sync --changed`` once all webhooks have arrived; gives the calls that it took."""
    world.box.webhooks.drain()
    with world.watch() as calls:
        outcome = world.sync(*entities, notices=notices.latest(), **options)
    assert outcome.exit_code == 0
    return calls


def rename(world: World, name: str, division: int | None = None) -> None:
    key = world.keys("crm/Accounts", division)[0]
    world.box.update("crm/Accounts", division or world.division, key, {"Name": name})


# -- what is read ------------------------------------------------------------------------------------


def test_an_idle_company_costs_no_call_and_a_change_only_its_own(
    world: World, heard: Notices
) -> None:
    with world.watch() as full:
        world.sync(*ENTITIES)
    idle = sync_changed(world, heard)
    rename(world, "heard of")
    changed = sync_changed(world, heard)
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    deleted = sync_changed(world, heard)
    again = sync_changed(world, heard)

    assert [len(calls) for calls in (full, idle, again)] == [8, 0, 0]
    for calls in (changed, deleted):
        paths = [call.path for call in billed(calls.all)]
        assert paths == [*LISTS[1:], "sync/Deleted", "sync/CRM/Accounts"]
        assert {call.division for call in calls.all[2:]} == {world.division}
    world.assert_equal("accounts")
    text, whole = " ".join(PAGE.read_text().split()), len(billed(full.all))
    assert f"take {whole} calls without changes" in text
    assert f"takes {len(billed(changed.all))} calls instead of {whole}" in text


def test_only_named_divisions_are_read_and_a_notice_of_an_entry_covers_its_postings(
    world: World, heard: Notices
) -> None:
    path = "financialtransaction/TransactionLines"
    line = next(r for r in world.box.rows(path, world.division) if r["Type"] == 20)
    world.box.update(path, world.division, line["ID"], {"Description": "changed"})
    rename(world, "mine")
    rename(world, "theirs", world.other)
    mine = sync_changed(world, heard, (*ENTITIES, "transaction_lines"), divisions=[world.division])
    rest = sync_changed(world, heard)

    assert [c.division for c in mine.to("sync/CRM/Accounts")] == [world.division]
    assert [c.division for c in mine.to("bulk/Financial/TransactionLines")] == [world.division]
    assert [c.division for c in rest.to("sync/CRM/Accounts")] == [world.other]
    world.assert_equal("accounts")


# -- when a notice is done with ----------------------------------------------------------------------


def test_a_notice_that_comes_during_a_read_causes_another_read(
    world: World, heard: Notices
) -> None:
    rename(world, "before")
    world.box.webhooks.drain()
    run = world.make_run(notices=heard.latest())

    def meanwhile(_: object) -> None:
        run.log.on_progress = lambda _: None
        rename(world, "meanwhile")
        world.box.webhooks.drain()

    run.log.on_progress = meanwhile
    assert world.sync_with(run, *ENTITIES).exit_code == 0
    again, then = sync_changed(world, heard), sync_changed(world, heard)

    assert (len(again.to("sync/CRM/Accounts")), len(then)) == (1, 0)
    world.assert_equal("accounts")


def test_a_load_that_fails_is_made_up_for_by_the_next_sync(world: World, heard: Notices) -> None:
    rename(world, "not loaded at first")
    world.box.webhooks.drain()
    world.sql("ALTER TABLE exact_online.accounts RENAME TO away")
    world.sql("CREATE TABLE exact_online.accounts AS SELECT id FROM exact_online.away")
    with pytest.raises(PipelineStepFailed):
        world.sync(*ENTITIES, notices=heard.latest())
    world.sql("DROP TABLE exact_online.accounts")
    world.sql("ALTER TABLE exact_online.away RENAME TO accounts")

    assert (
        len(sync_changed(world, heard).to("sync/CRM/Accounts")) <= 1
    )  # the package waits, or is dropped
    world.assert_equal("accounts")


def test_what_was_refused_or_never_loaded_is_read_again(world: World, heard: Notices) -> None:
    rename(world, "refused at first")
    world.box.webhooks.drain()
    world.box.deny(world.division, "sync/CRM/Accounts", "403")
    assert world.sync(*ENTITIES, notices=heard.latest()).exit_code == 1
    world.box.allow(world.division)
    world.pipeline.extract(run_source(Session(world.make_run(notices=heard.latest())), [*ENTITIES]))
    world.pipeline.abort_packages()

    assert len(sync_changed(world, heard).to("sync/CRM/Accounts")) == 1
    world.assert_equal("accounts")


def test_a_full_pass_that_began_before_does_not_cover_later_notices(world: World) -> None:
    entity, path = "sales_invoice_lines", "salesinvoice/SalesInvoiceLines"
    world.box.state.settings.large_page_size = 1
    with receiving(world) as (url, notices):
        subscribe(world, url, "SalesInvoices")
        world.box.touch(path, world.division)
        world.box.webhooks.drain()
        world.one_round(entity, notices=notices.latest(), max_pages=1)
        first = world.keys(path)[0]
        world.box.update(path, world.division, first, {"Description": "behind the pass"})
        sync_changed(world, notices, [entity])
        sync_changed(world, notices, [entity])
        idle = sync_changed(world, notices, [entity])

    held = {row["id"]: row["description"] for row in world.table(entity, world.division)}
    assert held[first] == "behind the pass"
    assert len(held) == len(world.keys(path))
    assert len(idle) == 0


def test_each_pipeline_keeps_its_place_and_starts_again_after_lost_notices(
    world: World, heard: Notices
) -> None:
    mine, theirs = world.pipeline, other_pipeline(world)
    world.pipeline = theirs
    world.sync(*ENTITIES)
    rename(world, "for both")
    found = [sync_changed(world, heard)]
    world.pipeline = mine
    found.append(sync_changed(world, heard))
    (world.folder / "notices.db").unlink()
    heard.prepare()
    rename(world, "in a new table")
    found.append(sync_changed(world, heard))

    assert [len(calls.to("sync/CRM/Accounts")) for calls in found] == [1, 1, 1]
    world.assert_equal("accounts")


def other_pipeline(world: World) -> dlt.Pipeline:
    destination = dlt.destinations.duckdb(str(world.folder / "other.duckdb"))
    return world.new_pipeline("other", destination)


def test_notices_of_a_division_that_cannot_be_read_are_settled(
    world: World, heard: Notices
) -> None:
    heard.record(99, ["accounts", "journals"])  # not the app's
    found = [sync_changed(world, heard) for _ in range(2)]
    heard.record(99, ["accounts"])
    found += [sync_changed(world, heard) for _ in range(2)]
    rename(world, "heard of all the same")
    changed = sync_changed(world, heard)

    assert [calls.paths for calls in found] == [LISTS, [], LISTS, []]
    assert len(changed.to("sync/CRM/Accounts")) == 1
    world.assert_equal("accounts")


# -- the receiver ------------------------------------------------------------------------------------


def test_the_same_webhook_again_is_one_more_read_and_no_harm(world: World, heard: Notices) -> None:
    rename(world, "once")
    sync_changed(world, heard)
    told = world.box.webhooks.drain()[-1]
    assert [httpx.post(told.url, content=told.body).status_code for _ in range(3)] == [200] * 3
    again = sync_changed(world, heard)

    assert len(again.to("sync/CRM/Accounts")) == 1
    assert world.outcomes()[-1]["rows"] == 0


def test_only_what_is_signed_is_noted_and_nothing_secret_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    secret = world.box.webhooks.secret
    good = world.box.webhooks.body({"Topic": "Accounts", "Division": 7, "Key": "k"})
    other = world.box.webhooks.body({"Topic": "Gadgets", "Division": 7, "Key": "k"})
    odd = world.box.webhooks.body({"Topic": "Accounts"})
    caplog.set_level(logging.DEBUG)
    with receiving(world) as (url, notices):

        def answers(body: bytes) -> int:
            return httpx.post(url, content=body).status_code

        assert [answers(b""), answers(odd), answers(other)] == [200, 400, 200]
        assert [answers(good[:-3] + b'0"}'), answers(good.replace(b"7", b"8")), answers(b"x")] == [
            401
        ] * 3
        assert notices.latest() == {}
        assert answers(good) == 200
        assert list(notices.latest()) == [("accounts", 7)]
        assert httpx.get(url).status_code == 405
        assert httpx.post(url.replace("/exact", "/"), content=good).status_code == 404
    code = re.search(rb'"HashCode":"(\w+)"', good)
    assert code is not None
    assert secret not in caplog.text
    assert code[1].decode() not in caplog.text
    assert "Accounts of division 7" in caplog.text


def test_a_body_that_is_too_long_is_not_read_to_its_end(world: World) -> None:
    asked: list[int] = []

    async def endless() -> Message:
        asked.append(1)
        assert len(asked) <= MAX_BODY, "the body is read without end"
        return {"type": "http.request", "body": b" " * 1024, "more_body": True}

    answers: list[Message] = []

    async def send(message: Message) -> None:
        answers.append(message)

    with receiving(world) as (url, notices):
        just = world.box.webhooks.body({"Topic": "Items", "Division": 7}).ljust(MAX_BODY)
        assert httpx.post(url, content=just).status_code == 200
        assert httpx.post(url, content=just + b" ").status_code == 413
        app = make_receiver("secret", notices, "/")
        scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
        asyncio.run(app(scope, endless, send))

    assert answers[0]["status"] == 413
    assert len(asked) == MAX_BODY // 1024 + 1


@pytest.mark.parametrize(
    "content",
    [
        '{"Topic":' + "[" * 30_000 + "]" * 30_000 + ',"Division":7}',
        '{"Topic":"Items","Division":1' + "0" * 100 + "}",
    ],
    ids=["deep", "huge"],
)
def test_odd_content_is_refused_though_it_is_signed(world: World, content: str) -> None:
    code = sign(content.encode(), world.box.webhooks.secret)
    with receiving(world) as (url, notices):
        answer = httpx.post(url, content=f'{{"Content":{content},"HashCode":"{code}"}}')

    assert answer.status_code == 400
    assert notices.latest() == {}


@asynccontextmanager
async def limited(world: World) -> AsyncIterator[tuple[int, set[Any]]]:
    """The server of ``webhooks serve``; gives its port and its connections."""
    notices = Notices(f"sqlite:///{world.folder / 'notices.db'}")
    notices.prepare()
    server = make_server(make_receiver(world.box.webhooks.secret, notices, "/exact"))
    server.config.load()
    await server.on_tick(0)  # makes the headers that each answer has
    state = server.server_state
    serving = await asyncio.get_running_loop().create_server(
        lambda: LimitedProtocol(server.config, state, {}), "127.0.0.1", 0
    )
    yield serving.sockets[0].getsockname()[1], state.connections
    serving.close()
    for connection in list(state.connections):
        connection.transport.abort()


HEAD = b"POST /exact HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (HEAD[:30], b""),
        (HEAD % 100 + b"{", b"HTTP/1.1 408 "),
        (HEAD % (MAX_BODY + 1) + b" " * (MAX_BODY + 1), b"HTTP/1.1 413 "),
        (HEAD % 0, b"HTTP/1.1 200 "),  # and then closed
    ],
    ids=["silent", "half a head", "half a body", "a long body", "all"],
)
def test_a_connection_ends_soon_whatever_is_sent(world: World, sent: bytes, answer: bytes) -> None:
    async def send() -> bytes:
        async with limited(world) as (port, _):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            async with asyncio.timeout(2 * HEAD_S):  # or the read would never end
                found = await reader.read()
            writer.close()
            return found

    with closing(Jumps().new_loop()) as loop:
        assert loop.run_until_complete(send())[: len(answer) or 1] == answer
        assert loop.time() <= HEAD_S


def test_silent_connections_keep_no_webhook_out(world: World) -> None:
    body = world.box.webhooks.body({"Topic": "Items", "Division": 7})

    async def flood_and_post() -> bytes:
        async with limited(world) as (port, connections):
            silent = [
                await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS + 5)
            ]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HEAD % len(body) + body)
            found = await reader.read()
            assert len(connections) <= MAX_CONNECTIONS
            for oldest, _ in silent[:5]:
                assert await oldest.read() == b""
            for _, each in [*silent, (reader, writer)]:
                each.close()
            return found

    assert asyncio.run(flood_and_post()).startswith(b"HTTP/1.1 200 ")
    assert set(Notices(f"sqlite:///{world.folder / 'notices.db'}").latest()) == {("items", 7)}


def test_what_cannot_be_kept_is_not_acknowledged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    body = world.box.webhooks.body({"Topic": "Items", "Division": 7})
    with receiving(world) as (url, _):
        database = world.folder / "notices.db"
        database.unlink()
        database.mkdir()

        assert httpx.post(url, content=body).status_code == 503
    assert "unable to open database file" in caplog.text


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_many_receivers_note_at_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = (
        f"sqlite:///{tmp_path / 'n.db'}"
        if kind == "sqlite"
        else request.getfixturevalue("postgres")
    )
    receivers = [Notices(url) for _ in range(8)]

    def note(number: int) -> None:
        receiver = receivers[number % 8]
        receiver.prepare()
        names = ["accounts", "items", "contacts"]
        receiver.record(number % 3, names if number % 2 else names[::-1])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(note, range(96)))

    assert len(receivers[0].latest()) == 9


# -- commands ----------------------------------------------------------------------------------------


@pytest.fixture
def told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A receiver for the settings of a command line."""
    url = f"sqlite:///{cli.world.folder / 'notices.db'}"
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__NOTICES_URL", url)
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__WEBHOOK_SECRET", cli.world.box.webhooks.secret)
    cli.known.add(cli.world.box.webhooks.secret)
    with receiving(cli.world) as (callback, _):
        yield f"--callback-url={callback}"


def test_the_commands_of_the_page_in_their_order(cli: Cli, told: str) -> None:
    world, entities = cli.world, "--entities=accounts,contacts,journals"
    more = {
        "subscribe": [told, entities, "--json"],
        "list": ["--json"],
        "unsubscribe": ["--topics=Accounts", "--json", "--yes"],
    }
    found = {}
    for line in PAGE_COMMANDS:
        name, *arguments = line.removeprefix("exact-source webhooks ").split()
        if name == "exact-source":  # a sync
            rename(world, line, world.other)
            world.box.webhooks.drain()
            world.clock.sandbox.advance(120)
            found[line] = cli(*arguments, cli.destination, entities, "--json")
        elif name != "serve":
            wanted = [a for a in arguments if "callback" not in a and "books.example" not in a]
            found[name] = cli("webhooks", name, *wanted, *more[name])
    again = cli("webhooks", "subscribe", told, entities, "--json")

    assert {result.code for result in found.values()} == {0}
    assert lines_of(found["subscribe"]) == dict.fromkeys(both(world, "Accounts", "Contacts"), "new")
    assert lines_of(found["list"]) == dict.fromkeys(both(world, "Accounts", "Contacts"), "active")
    assert lines_of(found["unsubscribe"]) == dict.fromkeys(both(world, "Accounts"), "deleted")
    assert lines_of(again) == {
        **dict.fromkeys(both(world, "Accounts"), "new"),
        **dict.fromkeys(both(world, "Contacts"), "active"),
    }
    changed = found["exact-source sync --changed"].json
    assert [(s["entity"], s["division"], s["rows"]) for s in changed["streams"]] == [
        ("accounts", world.other, 1)
    ]
    assert changed["calls"] == 4  # Divisions, Deleted and two pages of the overlap of Accounts


def lines_of(result: Result) -> dict[tuple[int, str], str]:
    found = result.json["subscriptions"]
    return {(line["division"], line["topic"]): line["status"] for line in found}


def both(world: World, *topics: str) -> list[tuple[int, str]]:
    return [(division, topic) for division in world.box.divisions for topic in topics]


def test_the_page_names_an_app_that_any_server_can_load(cli: Cli, told: str) -> None:
    (name,) = re.findall(r"uvicorn --factory ([\w.:]+)", PAGE.read_text())
    module, _, factory = name.partition(":")
    with serve(getattr(importlib.import_module(module), factory)()) as base_url:
        assert httpx.post(f"{base_url}/exact").status_code == 200


def test_settings_in_config_toml_count_too(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    project = Path(os.environ["DLT_PROJECT_DIR"])
    monkeypatch.chdir(project)
    folder = project / ".dlt"
    folder.mkdir()
    (folder / "config.toml").write_text(
        '[sources.exact_online]\nwebhook_path = " /hooks"\n'
        'notices_url = "`sqlite:///other.db` "\nwebhook_secret = " \'pasted\' "\n'
    )
    Container()[PluggableRunContext].reload_providers()  # dlt reads its files once a process
    request.addfinalizer(Container()[PluggableRunContext].reload_providers)
    found = load_webhook_settings()
    assert (found.path, found.notices_url) == ("/hooks", "sqlite:///other.db")
    assert found.secret == "pasted"


def test_a_list_without_subscriptions_says_so(cli: Cli) -> None:
    assert cli("webhooks", "list").out == "no subscriptions\n"


def test_many_subscriptions_are_summed_up_by_topic(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        Subscription(code, topic, callback_url="https://x.example/")
        for code in range(300)
        for topic in ("Accounts", "Items")
    ]

    show(found, {})
    short = capsys.readouterr().out.splitlines()
    show(found, {}, every=True)
    whole = capsys.readouterr().out.splitlines()

    assert [line.split() for line in short[1:3]] == [
        ["Accounts", "active", "300"],
        ["Items", "active", "300"],
    ]
    assert "600 subscriptions" in short[3]
    assert len(whole) == 601


def test_an_address_that_changed_is_subscribed_again(cli: Cli, told: str) -> None:
    box, topics = cli.world.box, "--topics=Items"
    for division in box.divisions:
        row = {"Topic": "Items", "CallbackURL": "https://old.example/exact"}
        box.insert(PATH, division, row)
    with cli.world.watch() as calls:
        moved = cli("webhooks", "subscribe", told, topics, "--json")
    again = cli("webhooks", "subscribe", told, topics, "--json")
    listed = cli("webhooks", "list", "--json")

    assert lines_of(moved) == dict.fromkeys(both(cli.world, "Items"), "new")
    for division in box.divisions:
        mine = [c for c in calls.all if c.path.startswith(PATH) and c.division == division]
        assert [c.method for c in mine] == ["GET", "DELETE", "POST"]
    assert lines_of(again) == dict.fromkeys(both(cli.world, "Items"), "active")
    assert {line["callback_url"] for line in listed.json["subscriptions"]} == {
        told.removeprefix("--callback-url=")
    }


def test_a_division_that_refuses_spoils_nothing_else(cli: Cli, told: str) -> None:
    cli.world.box.deny(cli.world.division, PATH, "403")
    result = cli("webhooks", "subscribe", told, "--topics=Items")

    assert result.code == 3
    assert re.search(rf"{cli.world.other}\s.*\sItems\s+new", result.out)
    assert f"webhook_subscriptions of division {cli.world.division}" in result.err


@pytest.mark.parametrize(("answer", "code"), [("", 2), ("n\n", 1), ("y\n", 0)])
def test_subscriptions_are_deleted_only_with_consent(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    subscribe(cli.world, "https://x.example/exact", "Items")
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    with cli.world.watch() as calls:
        result = cli("webhooks", "unsubscribe", "--json")

    assert result.code == code
    assert any(call.method == "DELETE" for call in calls.all) is (code == 0)
    assert bool(len(calls)) is (code == 0)
    assert result.err.splitlines()[-1].startswith("error: ") is (code == 2)


@pytest.mark.parametrize(
    "command", ["subscribe --callback-url=https://x.example/", "unsubscribe --yes"]
)
def test_a_misspelt_topic_is_refused_before_the_first_call(cli: Cli, command: str) -> None:
    with cli.world.watch() as calls:
        result = cli("webhooks", *command.split(), "--topics=Acounts")

    assert (result.code, len(calls)) == (2, 0)
    assert "Accounts" in result.err
    assert result.out == ""


@pytest.mark.parametrize("setting", ["code", "pattern", "excluded"])
def test_companies_and_entities_are_those_of_the_settings(
    cli: Cli, told: str, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """An excluded company is neither subscribed nor read."""
    world = cli.world
    names = {row["Code"]: row["Description"] for row in world.box.rows("system/Divisions", 0)}
    subscribe(world, "https://old.example/exact", "Items")
    value = {
        "code": ("DIVISIONS", str(world.other)),
        "pattern": ("DIVISIONS", f"{names[world.other][:-1]}*"),
        "excluded": ("EXCLUDE_DIVISIONS", names[world.division]),
    }[setting]
    monkeypatch.setenv(f"SOURCES__EXACT_ONLINE__{value[0]}", value[1])
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__ENTITIES", "contacts,journals")

    with world.watch() as calls:
        ordered = cli("webhooks", "subscribe", told, "--json")
        listed = cli("webhooks", "list", "--json")
        cancelled = cli("webhooks", "unsubscribe", "--topics=Items", "--json", "--yes")
    everywhere = cli("webhooks", "list", "--divisions=all", "--exclude-divisions=", "--json")

    assert lines_of(ordered) == {(world.other, "Contacts"): "new"}
    assert set(lines_of(listed)) == {(world.other, "Contacts"), (world.other, "Items")}
    assert lines_of(cancelled) == {(world.other, "Items"): "deleted"}
    assert {c.division for c in calls.all if c.path.startswith(PATH)} == {world.other}
    assert set(lines_of(everywhere)) == {(world.other, "Contacts"), (world.division, "Items")}


@pytest.fixture
def many(make_cli: Callable[..., Cli]) -> Cli:
    """A command line for twelve companies."""
    return make_cli(companies=12)


def test_companies_are_asked_side_by_side_and_listed_in_their_order(many: Cli) -> None:
    world = many.world
    subscribe(world, "https://x.example/", "Items", "Accounts")
    counter, under_way = world.box.state.in_flight, [0]
    enter = counter.enter

    def enter_and_count(division: int) -> None:
        enter(division)
        under_way.append(sum(counter._now.values()))

    counter.enter = enter_and_count  # type: ignore[method-assign]
    world.box.settings.latency = 0.2
    result = many("webhooks", "list", "--json")

    found = [line["division"] for line in result.json["subscriptions"]]
    assert found == [division for division in world.box.divisions for _ in range(2)]
    assert max(under_way) > 1
    assert {world.box.max_in_flight(division) for division in world.box.divisions} == {1}


@pytest.mark.parametrize("has_old", [False, True], ids=["new", "moved"])
def test_an_address_that_exact_refuses_is_tried_once(many: Cli, *, has_old: bool) -> None:
    """The receiver is down, and each refused call would count toward Exact's error limit."""
    if has_old:
        subscribe(many.world, "https://old.example/exact", "Accounts")
    for division in many.world.box.divisions:
        many.world.box.fault("400", path=PATH, division=division, after=1, times=99)

    with many.world.watch() as calls:
        result = many("webhooks", "subscribe", "--callback-url=https://127.0.0.1:9/x")

    assert result.code == 1
    writes = [c.method for c in calls.all if c.path.startswith(PATH) and c.method != "GET"]
    assert writes == ["DELETE", "POST"] if has_old else writes == ["POST"]
    assert len(result.err.splitlines()) == 1
    assert "receiver" in result.err


def test_nothing_is_ordered_after_a_refusal() -> None:
    async def order() -> None:
        address = CallbackAddress("https://books.example/exact")
        address.refuse(7, "Items")
        async with address.turn():
            pytest.fail("it was ordered again")

    with pytest.raises(ReceiverError, match="division 7, topic Items"):
        asyncio.run(order())


def test_an_address_that_exact_accepts_is_ordered_for_all(many: Cli) -> None:
    with receiving(many.world) as (url, _):
        address = f"--callback-url={url}"
        result = many("webhooks", "subscribe", address, "--topics=Items,Accounts", "--json")

    assert lines_of(result) == dict.fromkeys(both(many.world, "Items", "Accounts"), "new")


def test_the_kind_of_an_error_is_on_stderr_and_in_json(cli: Cli, told: str) -> None:
    world = cli.world
    world.box.deny(world.division, PATH, "403")
    world.box.fault("503", path=PATH, division=world.other, after=1)
    result = cli("webhooks", "subscribe", told, "--topics=Items", "--json", "--log-format=json")

    kinds = {world.division: ("refused", None), world.other: ("remote", "Items")}
    said = [json.loads(line) for line in result.err.splitlines()]
    assert {line["division"]: (line["code"], line["topic"]) for line in said} == kinds
    found = result.json["subscriptions"]
    assert {line["division"]: (line["code"], line["topic"] or None) for line in found} == kinds


@pytest.mark.parametrize("language", ["en", "nl"])
def test_a_subscription_of_another_user_counts(
    cli: Cli, told: str, language: Literal["en", "nl"]
) -> None:
    """It is not in the list, so it is ordered, and Exact says with a 500 that it is there."""
    world = cli.world
    world.box.state.settings.language = language
    for division in world.box.divisions:
        url, user = told.removeprefix("--callback-url="), world.box.state.store.new_guid()
        world.box.insert(PATH, division, {"Topic": "Items", "CallbackURL": url, "UserID": user})
    with world.watch() as calls:
        result = cli("webhooks", "subscribe", told, "--topics=Items", "--json")

    assert (result.code, result.err) == (0, "")
    assert lines_of(result) == dict.fromkeys(both(world, "Items"), "active")
    for division in world.box.divisions:
        made = [(c.method, c.status) for c in calls.all if (c.path, c.division) == (PATH, division)]
        assert made == [("GET", 200), ("POST", 500)]
    assert [len(world.box.rows(PATH, d)) for d in world.box.divisions] == [1, 1]


@pytest.mark.parametrize("fault", ["503", "drop"])
def test_a_write_is_never_sent_twice(cli: Cli, told: str, fault: str) -> None:
    box = cli.world.box
    box.fault(fault, path=PATH, after=1)
    result = cli("webhooks", "subscribe", told, "--topics=Items", f"--divisions={box.divisions[0]}")

    assert result.code == 3
    assert "it may have been done or not" in result.err
    assert [r.method for r in box.requests if r.path == PATH] == ["GET", "POST"]


WRONG = [
    (["webhooks", "subscribe", "--callback-url=http://books.example/x"], "https address"),
    (["webhooks", "subscribe", "--callback-url=https://x/", "--topics=a/b"], "'a/b'"),
    (["webhooks", "subscribe", "--callback-url=https://x/", "--entities=acounts"], "did you mean"),
    (["webhooks", "subscribe", "--callback-url=https://x/", "--entities=journals"], "journals"),
    (["webhooks", "serve"], "webhook_secret is not set"),
    (["sync", "--changed"], "notices_url"),
]


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_wrong_setting_gets_one_line_and_no_call(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    monkeypatch.setenv(
        "SOURCES__EXACT_ONLINE__NOTICES_URL", f"sqlite:///{cli.world.folder / 'x.db'}"
    )
    result = cli(*arguments)

    assert (result.code, result.out) == (2, "")
    assert text in result.err
    assert len(result.err.strip().splitlines()) == 1
    assert cli.world.box.requests == []


def test_the_served_receiver_takes_what_the_sandbox_sends(cli: Cli, told: str) -> None:
    (line,) = [c for c in PAGE_COMMANDS if " serve " in c]
    arguments = line.replace("8090", "0").split()[1:]
    command = [sys.executable, "-m", "exact_source", *arguments, "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        place = json.loads(server.stdout.readline())
        base_url = f"http://{place['host']}:{place['port']}{place['path']}"
        url = f"--callback-url={base_url}"
        made = cli("webhooks", "subscribe", url, "--topics=Items", "--json")
        box = cli.world.box
        box.touch("logistics/Items", box.divisions[0])
        statuses = {sent.status for sent in box.webhooks.drain()}
        server.terminate()
        said, rest = server.stderr.read(), server.stdout.read()
    assert (made.code, statuses, server.returncode, rest) == (0, {200}, 0, "")
    assert f"listening on {base_url}" in said
    assert f"Items of division {box.divisions[0]}" in said
    assert box.webhooks.secret not in said
    assert ("items", box.divisions[0]) in Notices(
        f"sqlite:///{cli.world.folder / 'notices.db'}"
    ).latest()


def test_a_sync_of_changes_does_not_create_the_table_that_it_misses(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = cli.world.folder / "missing.db"
    monkeypatch.setenv("SOURCES__EXACT_ONLINE__NOTICES_URL", f"sqlite:///{file}")

    assert cli("sync", cli.destination, "--changed").code == 2
    assert not file.exists()
