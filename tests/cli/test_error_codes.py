"""The kind of what a stream ended with: one word, the same wherever it is told, and on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from exact_source.engine.result import StreamResult
from tests.support.cli_fixtures import Cli
from tests.support.world import World
from tools.docs.errors_page import PAGE

ACCOUNTS = "sync/CRM/Accounts"
TYPES = "documents/DocumentTypes"


@dataclass(frozen=True)
class Case:
    """What goes wrong with an entity of the second company.

    Attributes:
        arrange: Makes it go wrong.
        entity: With which it does; another one is well.
        said: As what it is told on stderr, ``None`` if by its word alone it is no error.
    """

    code: str
    arrange: Callable[[World], object]
    status: str
    entity: str = "accounts"
    said: str | None = "error"


def put_keyless_row(world: World) -> None:
    too_large = 2**40  # for the column
    world.box.insert(TYPES, world.other, {"ID": too_large, "Description": "odd one"})


def fault(kind: str) -> Callable[[World], object]:
    return lambda w: w.box.fault(kind, path=ACCOUNTS, division=w.other, times=99)


CASES = {
    "a right that lacks": Case(
        "unavailable", lambda w: w.box.deny(w.other, ACCOUNTS), "refused", said=None
    ),
    "a licence that has ended": Case(
        "refused", lambda w: w.box.deny(w.other, ACCOUNTS, "LicenseExpired"), "refused"
    ),
    "deletions that cannot be had": Case(
        "remote",
        lambda w: w.box.fault("503", path="sync/Deleted", division=w.other, times=99),
        "incomplete",
        said=None,
    ),
    "a page that cannot be right": Case("contract", fault("wrong-division"), "failed"),
    "a page that stays broken": Case("remote", fault("html"), "failed"),
    "no answer": Case("remote", fault("503"), "failed"),
    "a row without a key": Case("keyless", put_keyless_row, "incomplete", "document_types"),
    "a spent day": Case(
        "limit", lambda w: w.box.fault("429", path=ACCOUNTS, division=w.other, times=999),
        "waiting", said=None,
    ),
    "a company that is blocked": Case(
        "blocked", lambda w: w.box.block_division(w.other), "skipped", said=None
    ),
    "a function without its parent": Case(
        "parent", lambda w: None, "failed", entity="stock_position"
    ),
}  # fmt: skip


@pytest.mark.parametrize("divisions", ["all", "*"])
def test_a_blocked_company_is_an_error_if_strict(cli: Cli, divisions: str) -> None:
    cli.world.box.block_division(cli.world.other)

    arguments = ("--entities=accounts,journals", f"--divisions={divisions}", "--strict")
    result = cli("sync", cli.destination, *arguments, "--json", "--log-format=json")

    assert (result.code, result.json["exit_code"], result.json["code"]) == (3, 3, "blocked")
    lines = [json.loads(line) for line in result.err.splitlines()]
    errors = {(e["entity"], e["division"]) for e in lines if e["level"] == "error"}
    assert errors == {(entity, cli.world.other) for entity in ("accounts", "journals")}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_stream_says_what_kind_its_error_is(cli: Cli, case: Case) -> None:
    world = cli.world
    case.arrange(world)
    arguments = (cli.destination, f"--entities={case.entity},journals", "--log-format=json")

    result = cli("sync", *arguments, "--json")

    told = {(s["entity"], s["division"]): s for s in result.json["streams"]}
    mine = told[case.entity, world.other]
    assert (mine["code"], mine["status"]) == (case.code, case.status), mine["error"]
    assert told["journals", world.division]["code"] is None
    named = {key: s["code"] for key, s in told.items()}
    stored = {(row["entity"], row["division"]): row["code"] or None for row in world.outcomes()}
    assert stored == named
    assert result.json["code"] == (case.code if result.code else None)
    lines = [json.loads(line) for line in result.err.splitlines()]
    said = [line["code"] for line in lines if line["level"] == "error"]
    assert set(said) == ({case.code} if case.said else set())
    status = cli("status", cli.destination, "--json").json["streams"]
    assert {(s["entity"], s["division"]): s["code"] for s in status} == named


def test_what_nobody_expected_is_named_so(world: World) -> None:
    run = world.make_run()

    def stumble(result: StreamResult) -> None:
        if (result.entity, result.status) == ("accounts", "running"):
            raise KeyError("secret")

    run.log.on_progress = stumble
    outcome = world.sync_with(run, "accounts", "journals")

    named = {(r.entity, r.code) for r in outcome.results}
    assert named == {("accounts", "unexpected"), ("journals", "")}
    assert {(row["entity"], row["code"] or "") for row in world.outcomes()} == named


def test_a_lost_login_is_named_with_the_streams_that_it_ended(world: World) -> None:
    """Access is revoked after the first pages: they are loaded, and the result says why it stopped."""
    run = world.make_run()
    world.box.fault("401", path=ACCOUNTS, times=99, after=1)

    outcome = world.sync_with(run, "accounts")

    assert outcome.error is not None
    assert outcome.error.code == "login"
    assert "login" in {r.code for r in outcome.results}
    assert "login" in {row["code"] for row in world.outcomes()}


def test_a_round_that_goes_on_is_no_error(world: World) -> None:
    results = world.one_round("accounts", max_pages=1)

    going_on = [r for r in results if r.status == "incomplete"]
    assert {(r.error, r.code) for r in going_on} == {("goes on in the next round", "")}


def test_the_worst_of_several_kinds_is_that_of_the_whole(cli: Cli) -> None:
    world = cli.world
    world.box.deny(world.other, ACCOUNTS)
    world.box.fault("503", path="financial/Journals", division=world.other, times=99)

    result = cli("sync", cli.destination, "--entities=accounts,journals,contacts", "--json")

    codes = {s["code"] for s in result.json["streams"]}
    assert (codes, result.json["code"]) == ({None, "unavailable", "remote"}, "remote")


def test_outcomes_without_a_code_are_still_shown(cli: Cli) -> None:
    cli.world.sync("accounts")
    cli.world.sql("ALTER TABLE exact_online._exact_syncs DROP COLUMN code")

    status = cli("status", cli.destination, "--json")

    assert {s["status"] for s in status.json["streams"]} == {"complete"}


@pytest.mark.parametrize("code", sorted({case.code for case in CASES.values()} | {"unexpected"}))
def test_every_code_is_on_the_page(code: str) -> None:
    page = Path(PAGE).read_text("utf-8")
    assert re.search(rf"^\| `{code}` \|", page, re.MULTILINE)
