"""``exact-source status``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import dlt
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from exact_source.cli.openmetrics import render
from tests.support.cli_fixtures import Cli, Result
from tests.support.time_zones import in_zone

ENTITIES = ("accounts", "journals", "sales_invoice_lines", "divisions")


def read_openmetrics(text: str) -> dict[str, Metric]:
    """What Prometheus' own parser makes of it; it refuses what breaks the grammar."""
    return {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]


def value_of(family: Metric, labels: dict[str, str]) -> float:
    (value,) = (sample.value for sample in family.samples if sample.labels == labels)
    return float(value)


def stream(result: Result, entity: str, division: int | None) -> dict[str, object]:
    (found,) = (
        s for s in result.json["streams"] if (s["entity"], s["division"]) == (entity, division)
    )
    return dict(found)


def test_before_the_first_sync_it_says_so_and_makes_no_file(cli: Cli) -> None:
    result = cli("status", cli.destination)

    assert (result.code, result.err) == (0, "")
    assert str(cli.world.folder / "exact.duckdb") in result.out
    assert "run `exact-source sync`" in result.out
    assert cli("status", cli.destination, "--json").json["streams"] == []
    assert not (cli.world.folder / "exact.duckdb").exists()


def test_in_a_folder_without_a_project_it_names_the_folder(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DLT_PROJECT_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert ".dlt" in cli("status", cli.destination).out

    (tmp_path / ".dlt").mkdir()
    assert ".dlt" not in cli("status", cli.destination).out


def test_it_tells_cursor_rows_and_age_without_a_call(cli: Cli) -> None:
    world = cli.world
    assert world.sync(*ENTITIES).exit_code == 0
    world.clock.sandbox.advance(3600)

    with world.watch() as calls:
        result = cli("status", cli.destination, "--json")

    assert result.code == 0
    assert calls.all == []
    accounts = stream(result, "accounts", world.division)
    newest = max(row["Timestamp"] for row in world.box.rows("sync/CRM/Accounts", world.division))
    assert accounts["cursor"] <= newest
    assert isinstance(accounts["cursor"], int)
    assert accounts["cursor_column"] == "Timestamp"
    assert accounts["rows"] == len(world.box.rows("crm/Accounts", world.division))
    assert accounts["status"] == "complete"
    assert accounts["last_error"] is None
    assert 3600 <= int(str(accounts["lag_s"])) < 3700
    journals = stream(result, "journals", world.other)
    digits = datetime.fromisoformat(str(journals["cursor"]))
    assert digits.tzinfo is None
    assert digits in {r["Modified"] for r in world.box.rows("financial/Journals", world.other)}
    assert stream(result, "sales_invoice_lines", world.division)["cursor"] is None
    assert stream(result, "divisions", None)["rows"] == 2


def test_calls_of_today_are_counted_until_midnight(cli: Cli) -> None:
    synced = cli("sync", cli.destination, "--entities=divisions,accounts", "--json").json["calls"]
    report = cli("status", cli.destination, "--json").json
    today = report["divisions"][0]
    assert report["calls_today"] == synced > sum(d["calls_today"] for d in report["divisions"])
    one = cli("status", cli.destination, f"--divisions={today['division']}", "--json").json
    assert one["calls_today"] == today["calls_today"] > 0
    assert today["calls_left_today_at_most"] == 5000 - today["calls_today"]

    cli.world.clock.sandbox.advance(86_400)

    assert cli("status", cli.destination, "--json").json["divisions"][0]["calls_today"] == 0


def test_a_refusal_is_shown_with_the_last_success_before_it(cli: Cli) -> None:
    world = cli.world
    world.sync("accounts", "journals")
    before = stream(cli("status", cli.destination, "--json"), "journals", world.division)
    world.box.deny(world.division, "financial/Journals")
    world.clock.sandbox.advance(7200)
    world.sync("accounts", "journals")

    result = cli("status", cli.destination, "--json")

    journals = stream(result, "journals", world.division)
    assert journals["status"] == "refused"
    assert "403" in str(journals["last_error"])
    assert journals["last_success"] == before["last_success"]
    assert stream(result, "journals", world.other)["status"] == "complete"
    assert "1 refused (journals)" in cli("status", cli.destination).out
    problems = cli("status", cli.destination, "--problems").out
    assert f"journals of division {world.division}" in str(journals["last_error"])
    assert (problems.count("journals"), problems.count(str(world.division))) == (1, 1)


def test_a_deleted_row_that_is_kept_does_not_count(cli: Cli) -> None:
    world = cli.world
    world.sync("accounts", deletes="soft")
    count = int(
        str(stream(cli("status", cli.destination, "--json"), "accounts", world.division)["rows"])
    )
    world.box.delete("crm/Accounts", world.division, world.keys("crm/Accounts")[0])
    world.sync("accounts", deletes="soft")

    after = stream(cli("status", cli.destination, "--json"), "accounts", world.division)

    assert after["rows"] == count - 1


def test_divisions_and_entities_can_be_chosen(cli: Cli) -> None:
    world = cli.world
    world.sync(*ENTITIES)

    result = cli(
        "status", cli.destination, "--json",
        f"--divisions={world.other}", "--entities=accounts,journals",
    )  # fmt: skip

    found = [(s["division"], s["entity"]) for s in result.json["streams"]]
    assert found == [(world.other, "accounts"), (world.other, "journals")]
    assert cli("status", "--divisions=nonsense").code == 2
    assert "did you mean accounts" in cli("status", "--entities=account").err


def test_another_machine_sees_the_same(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.world.sync("accounts")
    here = cli("status", cli.destination, "--json").json
    monkeypatch.setenv("DLT_DATA_DIR", str(cli.world.folder / "other_machine"))

    assert cli("status", cli.destination, "--json").json["streams"] == here["streams"]


def test_openmetrics_are_valid_and_replace_the_file_as_a_whole(cli: Cli, tmp_path: Path) -> None:
    world = cli.world
    world.sync("accounts", "divisions")
    file = tmp_path / "exact.prom"
    file.write_text("old")
    other_name = file.with_suffix(".link")
    other_name.hardlink_to(file)

    result = cli("status", cli.destination, "--openmetrics", str(file), "--json")

    assert result.code == 0
    families = read_openmetrics(file.read_text())
    assert other_name.read_text() == "old"  # a new file took the name
    assert [p.name for p in tmp_path.glob("*.new")] == []
    labels = {"division": str(world.division), "entity": "accounts"}
    rows = len(world.box.rows("crm/Accounts", world.division))
    assert value_of(families["exact_online_rows"], labels) == rows
    assert value_of(families["exact_online_complete"], labels) == 1
    assert families["exact_online_lag_seconds"].unit == "seconds"
    assert value_of(families["exact_online_calls_today"], {"division": str(world.division)}) > 0


def test_streams_that_exact_does_not_offer_are_not_incomplete_for_ever(
    cli: Cli, tmp_path: Path
) -> None:
    world, file = cli.world, tmp_path / "exact.prom"
    world.box.deny(world.division, "financial/Journals", "module")
    world.sync("accounts", "journals")

    assert cli("status", cli.destination, "--openmetrics", str(file)).code == 0

    families = read_openmetrics(file.read_text())
    told = {
        (sample.labels["entity"], sample.labels["division"]): sample.value
        for sample in families["exact_online_complete"].samples
    }
    first, second = str(world.division), str(world.other)
    assert told == {("accounts", first): 1, ("accounts", second): 1, ("journals", second): 1}
    last_run = families["exact_online_last_run_timestamp_seconds"]
    assert value_of(last_run, {"division": first, "entity": "journals"}) > 0


def test_openmetrics_of_nothing_are_valid_too(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "exact.prom"

    assert cli("status", cli.destination, "--openmetrics", str(file)).code == 0

    families = read_openmetrics(file.read_text())
    assert families["exact_online_rows"].samples == []


def test_a_metrics_file_that_cannot_be_written_is_named(cli: Cli, tmp_path: Path) -> None:
    result = cli("status", cli.destination, "--openmetrics", str(tmp_path / "nowhere" / "x.prom"))

    assert result.code == 2
    assert "--openmetrics" in result.err


def test_a_database_that_is_in_use_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken.duckdb").write_text("this is no database")

    result = cli("status", f"--destination=duckdb:{tmp_path / 'broken.duckdb'}")

    assert result.code == 1
    assert result.err.startswith("error: destination duckdb")
    assert len(result.err.splitlines()) == 1


def test_postgres_tells_the_same_as_duckdb(cli: Cli, postgres: str) -> None:
    world = cli.world
    world.sync("accounts", "journals")
    duckdb = cli("status", cli.destination, "--json").json["streams"]
    world.pipeline = world.new_pipeline("postgres", dlt.destinations.postgres(credentials=postgres))
    nothing = cli("status", f"--destination={postgres}", "--json")
    assert (nothing.code, nothing.json["streams"]) == (0, [])
    world.sync("accounts", "journals")

    report = cli("status", f"--destination={postgres}", "--json").json
    found = report["streams"]

    address = urlsplit(postgres)
    assert address.path.removeprefix("/") in report["place"]
    assert str(address.hostname) in report["place"]
    kept = ("division", "entity", "feed", "cursor", "rows", "status")
    assert [[s[k] for k in kept] for s in found] == [[s[k] for k in kept] for s in duckdb]


def test_what_is_not_there_is_not_called_an_empty_database(cli: Cli) -> None:
    assert cli("sync", cli.destination, "--entities=journals").code == 0

    result = cli("status", cli.destination, "--entities=items")

    assert result.code == 0
    assert "exact-source status` without these options" in result.out
    assert "run `exact-source sync`" not in result.out
    assert cli("status", cli.destination, "--divisions=999").code == 2


def test_the_calls_of_a_day_are_said_to_be_assumed(cli: Cli) -> None:
    assert cli("sync", cli.destination, "--entities=journals").code == 0

    assert "of the usual 5,000 calls" in cli("status", cli.destination).out
    for division in cli("status", cli.destination, "--json").json["divisions"]:
        assert division["calls_a_day_assumed"] == 5000


def test_a_label_may_hold_anything_and_the_text_stays_openmetrics() -> None:
    odd = 'a"b\\c\nd = } e'
    stream = {"division": 7, "entity": odd, "rows": 3, "lag_s": 0.25, "last_success": None,
              "last_run": "2026-03-10T12:00:00Z", "status": "complete"}  # fmt: skip

    families = read_openmetrics(render({"streams": [stream], "divisions": []}, 1.5))

    assert value_of(families["exact_online_rows"], {"division": "7", "entity": odd}) == 3
    assert value_of(families["exact_online_lag_seconds"], {"division": "7", "entity": odd}) == 0.25
    assert families["exact_online_last_success_timestamp_seconds"].samples == []


def test_companies_are_named_without_the_table_of_divisions(cli: Cli) -> None:
    world = cli.world
    assert cli("sync", cli.destination, "--entities=accounts,journals").code == 0
    companies = {r["Code"]: r["Description"] for r in world.box.rows("system/Divisions", 0)}

    report = cli("status", cli.destination, "--json").json

    assert {d["division"]: d["name"] for d in report["divisions"]} == companies
    logged = {(row["division"], row["division_name"]) for row in world.outcomes()}
    assert logged == set(companies.items())


def test_blocked_companies_are_named(cli: Cli) -> None:
    world = cli.world
    world.box.block_division(world.other)
    names = {r["Code"]: r["Description"] for r in world.box.rows("system/Divisions", 0)}

    synced = cli("sync", cli.destination, "--entities=accounts")
    status = cli("status", cli.destination)

    for text in (synced.err, status.out):
        (line,) = [line for line in text.splitlines() if "blocked at" in line]
        assert f"{world.other} ({names[world.other]})" in line


def test_times_are_in_the_local_zone(cli: Cli) -> None:
    cli.world.sync("accounts")
    (first, *_) = cli("status", cli.destination, "--json").json["streams"]
    with in_zone("Asia/Kolkata"):
        screens = [cli("status", cli.destination, *more).out for more in ([], ["--all"])]

    at = datetime.fromisoformat(first["last_success"]).astimezone(ZoneInfo("Asia/Kolkata"))
    assert [f"{at:%Y-%m-%d %H:%M}" in screen for screen in screens] == [True, True]
