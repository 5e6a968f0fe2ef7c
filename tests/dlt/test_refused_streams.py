"""Streams that Exact does not offer are remembered in dlt's state; see also ``tests/engine/sync``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exact_source import exact_online, run_to_end
from exact_source.engine.cursors import DENIED_S
from tests.support.cli_fixtures import Cli
from tests.support.fixtures import MakeWorld
from tests.support.refusals import MODULES, PATHS, deny_modules, lack_modules, later
from tests.support.world import World

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_an_accountant_whose_300_companies_lack_five_modules(make_world: MakeWorld) -> None:
    lack_modules(make_world(companies=300, invoices=1))


@pytest.mark.nightly
def test_the_source_remembers_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a dlt user runs it, without our command."""
    deny_modules(world)
    options: dict[str, Any] = {
        "entities": ["accounts", *MODULES],
        "token_storage": world.storage,
        "base_url": world.base_url,
        "client_id": world.box.client_id,
        "client_secret": world.box.client_secret,
        "redirect_uri": world.box.redirect_uri,
        "clock": world.clock,
    }

    def load() -> int:
        later(world, 120)
        return run_to_end(world.pipeline, exact_online(**options)).exit_code

    assert load() == 0
    with world.watch() as calls:
        assert load() == 0
        world.pipeline.run(exact_online(**options))
    assert not [c for c in calls.all if c.path in PATHS.values()]
    assert run_to_end(world.pipeline, exact_online(**options, strict=True)).exit_code == 3


def test_they_are_asked_for_again_after_the_seven_days_of_the_documentation() -> None:
    assert DENIED_S == 7 * 86_400
    assert "after seven days" in (DOCS / "cron.md").read_text("utf-8")


@pytest.mark.nightly
def test_commands_list_them_once(make_cli: Callable[..., Cli]) -> None:
    cli = make_cli()
    deny_modules(cli.world)
    some = (cli.destination, f"--entities=accounts,{','.join(MODULES)}")

    first, second = cli("sync", *some), cli("sync", *some)
    with cli.world.watch() as calls:
        plan = cli("plan", *some, "--json")
    status, problems = cli("status", cli.destination), cli("status", cli.destination, "--problems")

    assert (first.code, second.code, plan.code) == (0, 0, 0)
    assert not [c for c in calls.all if c.path in PATHS.values()]
    planned = [s for s in plan.json["order"] if s["entity"] in MODULES]
    assert {(s["calls"], s["basis"]) for s in planned} == {(0, "not available")}
    for result in (first, second):
        assert result.err.count("not available") == 1
        assert "error" not in result.err
    assert status.out.count("not available") == 1
    assert "problems" not in problems.out.replace("no problems", "")
    assert cli("sync", *some, "--strict").code == 3
    asked = len(cli.world.box.requests)
    cli("sync", *some, "--retry-refused")
    assert {c.path for c in cli.world.box.requests[asked:]} >= set(PATHS.values())
