"""What ``verify`` finds about a site is acted on by later syncs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.client.adaptations import AdaptationFile, Adaptations
from tests.support.cli_fixtures import Cli
from tests.support.tiers import variants

LINES = "crm/QuotationLines"  # its only harmless filter is one by key
RIGHTS = "users/UserHasRights"


def verify(cli: Cli) -> None:
    world = cli.world
    world.clock.sandbox.advance(4000)  # errors of an hour ago do not count
    result = cli("verify", cli.destination, f"--division={world.division}", "--yes")
    assert result.code in {0, 1}, result.err


def sync(cli: Cli, *options: str) -> tuple[int, list[Any]]:
    cli.world.clock.sandbox.advance(4000)
    with cli.world.watch() as calls:
        result = cli("sync", cli.destination, f"--divisions={cli.world.division}", *options)
    return result.code, calls.all


def test_a_key_filter_that_is_refused_is_no_longer_sent(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, deviations=["no-key-filter"])
    read = ("--entities=quotation_lines", "--route=regular")

    code, calls = sync(cli, *read)
    assert [c.status for c in calls if c.path == LINES] == [400]
    assert code == 1

    verify(cli)
    code, calls = sync(cli, *read)
    mine = [c for c in calls if c.path == LINES]
    assert code == 0
    assert {c.status for c in mine} == {200}
    assert not any("ID ne" in c.query.get("$filter", "") for c in mine)


def test_rights_are_asked_in_the_form_that_is_understood(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, deviations=["rights-by-path"])
    world, journals = cli.world, ("--entities=journals",)
    assert sync(cli, *journals)[0] == 0
    world.box.deny(world.division, "financial/Journals", "empty")
    world.box.allow(world.division)
    for key in world.keys("financial/Journals"):
        world.box.delete("financial/Journals", world.division, key)

    code, calls = sync(cli, *journals, "--full-refresh")
    assert [c.query["endpoint"] for c in calls if c.path == RIGHTS] == ["'Financial/Journals'"]
    assert code != 0

    verify(cli)
    code, calls = sync(cli, *journals, "--full-refresh")
    assert [c.query["endpoint"] for c in calls if c.path == RIGHTS] == ["'financial/Journals'"]
    assert code == 0
    assert world.table("journals", world.division) == []


def test_an_empty_list_is_confirmed_by_a_count_that_is_answered(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(deviations=["no-rights-question"])
    world, journals = cli.world, ("--entities=journals",)
    assert sync(cli, *journals)[0] == 0
    world.box.deny(world.division, "financial/Journals", "empty")
    assert sync(cli, *journals, "--full-refresh")[0] == 3
    world.clock.sandbox.advance(7 * 3600)
    _, calls = sync(cli, *journals, "--full-refresh")

    assert [c.status for c in calls if c.path == "financial/Journals/$count"] == [200]


def test_a_plan_counts_without_a_key_filter_that_is_refused(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(page_size=60, large_page_size=1000, deviations=["no-key-filter"])
    verify(cli)
    options = ("--entities=document_attachments", "--route=regular", "--json")
    with cli.world.watch() as calls:
        result = cli("plan", cli.destination, f"--divisions={cli.world.division}", *options)

    assert {c.status for c in calls.all} == {200}
    (stream,) = (s for s in result.json["order"] if s["entity"] == "document_attachments")
    rows = len(cli.world.box.rows("documents/DocumentAttachments", cli.world.division))
    assert (stream["basis"], stream["rows"]) == ("count", rows)


def test_a_plan_divides_by_the_size_of_the_pages_that_was_measured(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(invoices=20, page_size=60, large_page_size=1000, deviations=["small-pages"])
    options = ("--entities=transaction_lines", "--route=regular")
    division = f"--divisions={cli.world.division}"
    verify(cli)
    planned = cli("plan", cli.destination, division, *options, "--json").json
    code, calls = sync(cli, *options)

    (stream,) = (s for s in planned["order"] if s["entity"] == "transaction_lines")
    made = [c for c in calls if c.path == "financialtransaction/TransactionLines"]
    assert code == 0
    assert (stream["page_size"], stream["calls"]) == (50, len(made))
    assert len(made) > stream["rows"] // 60 + 1


@pytest.mark.parametrize("route", variants(["sync", "regular"], "sync"))
def test_page_order_and_filters_that_are_required_need_no_finding(
    make_cli: Callable[..., Cli], route: Literal["sync", "regular"]
) -> None:
    """No sync relies on an order, and every endpoint that may require a filter gets one."""
    cli = make_cli(companies=1, page_size=4, large_page_size=6)
    active = cli.world.box.settings.deviations
    active |= {"sync-by-key", "filter-everywhere"}
    world, names = cli.world, ("accounts", "gl_accounts")
    verify(cli)
    options = (f"--entities={','.join(names)}", f"--route={route}")
    first, calls = sync(cli, *options)
    paths = {name: load_catalogue().entities[name].feeds[route].path for name in names}
    for path in ("crm/Accounts", "financial/GLAccounts"):
        keys = world.keys(path)
        world.box.touch(path, world.division, [keys[-1], keys[0]])
        world.box.delete(path, world.division, keys[1])
    second, more = sync(cli, *options)

    mine = [c for c in calls + more if c.path in paths.values()]
    assert (first, second) == (0, 0)
    assert {(c.status, "$filter" in c.query) for c in mine} == {(200, True)}
    for name in names:
        world.assert_equal(name, by=route)


def test_a_site_that_is_as_assumed_leaves_no_file(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli(invoices=20, page_size=60, large_page_size=1000)
    active = cli.world.box.settings.deviations
    active |= {"small-pages", "no-key-filter"}
    verify(cli)
    (file,) = cli.world.folder.rglob("*.exact-adaptations.json")
    found = AdaptationFile(file).load(cli.world.base_url)
    assert found == Adaptations(key_filters=False, page_sizes={"regular": 50})
    assert AdaptationFile(file).load("https://start.exactonline.be") == Adaptations()

    active.clear()
    verify(cli)
    assert not file.exists()


def test_a_file_of_an_earlier_version_is_understood(tmp_path: Any) -> None:
    file = tmp_path / "some.json"
    found = {"rights_by_path": True, "key_filters": False, "filter_demanded": False}
    file.write_text(json.dumps({"version": 1, "site": "x", **found, "sync_order": "other"}))

    assert AdaptationFile(file).load("x") == Adaptations(rights_by_path=True, key_filters=False)


SIZES = '{"version": 1, "site": "x", "rights_by_path": true, "key_filters": true, "page_sizes": %s}'


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"version": 2}', '{"version": 1, "site": "x"}',
        SIZES % "[]", SIZES % '{"bulk": 0}', SIZES % '{"bulk": "many"}',
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path: Any, text: str) -> None:
    file = tmp_path / "some.json"
    file.write_text(text)

    assert AdaptationFile(file).load("x") == Adaptations()
