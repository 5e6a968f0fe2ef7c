"""What ``verify`` finds about a site is acted on by later syncs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from exact_source.client.adaptations import AdaptationFile, Adaptations
from tests.support.cli_fixtures import Cli, make_cli

__all__ = ["make_cli"]

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


def test_a_site_that_is_as_assumed_leaves_only_what_was_measured(
    make_cli: Callable[..., Cli],
) -> None:
    cli = make_cli(page_size=60, large_page_size=1000)
    verify(cli)
    (file,) = cli.world.folder.rglob("*.exact-adaptations.json")

    assert AdaptationFile(file).load(cli.world.base_url) == Adaptations(
        filter_demanded=False, sync_order="Timestamp"
    )
    assert AdaptationFile(file).load("https://start.exactonline.be") == Adaptations()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "site": "x"}'])
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path: Any, text: str) -> None:
    file = tmp_path / "some.json"
    file.write_text(text)

    assert AdaptationFile(file).load("x") == Adaptations()
