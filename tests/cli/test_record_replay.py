"""``sync --record``, ``verify --record`` and ``sandbox --replay``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exact_source.catalogue import load_catalogue
from exact_source.client.recording import Recorder, new_masks
from exact_source.sandbox.replay import Replay
from tests.support.cli_fixtures import Cli
from tests.support.fixtures import MakeWorld
from tests.support.world import World, make_box

ENTITIES = ("gl_accounts", "accounts", "journals", "transaction_lines", "sales_invoices")
PATHS = (
    "crm/Accounts", "financial/GLAccounts", "financialtransaction/TransactionLines",
    "financial/Journals",
)  # fmt: skip


def texts(folder: Path) -> str:
    return "".join(f.read_text("utf-8") for f in (folder / "replies").iterdir())


def test_a_recorded_sync_holds_no_value_of_a_row(
    make_cli: Callable[..., Cli], tmp_path: Path
) -> None:
    cli, folder = make_cli(), tmp_path / "kept"
    result = cli("sync", cli.destination, f"--entities={','.join(ENTITIES)}", f"--record={folder}")

    assert result.code == 0, result.err
    kept = texts(folder)
    for division in cli.world.box.divisions:
        assert str(division) not in kept
        for path in PATHS:
            for row in cli.world.box.rows(path, division):
                values = [v for v in row.values() if isinstance(v, str) and len(v.strip()) > 5]
                assert not [v for v in values if f'"{v}' in kept or f"'{v}" in kept]
    assert not [secret for secret in cli.secrets() if secret in kept]


def test_a_recorded_verification_can_be_replayed(
    make_cli: Callable[..., Cli], tmp_path: Path
) -> None:
    cli, folder = make_cli(page_size=60, large_page_size=1000), tmp_path / "kept"
    result = cli(
        "verify", cli.destination, f"--division={cli.world.division}", "--yes", "--json",
        f"--record={folder}",
    )  # fmt: skip

    assert result.code == 0
    assert len(list((folder / "replies").iterdir())) == result.json["calls"]
    assert len(Replay(folder).divisions) == 1


def test_a_recorded_sync_replayed_gives_the_same_tables_up_to_the_masks(
    make_world: MakeWorld, tmp_path: Path
) -> None:
    world = make_world(invoices=3)
    masks = new_masks()
    recorder = Recorder(tmp_path / "kept", world.base_url, masks)
    first = world.sync_with(world.make_run(observe=recorder.observe), *ENTITIES)
    recorder.check()
    before = {name: world.table(name) for name in ENTITIES}

    box = make_box(replay=tmp_path / "kept")
    (tmp_path / "again").mkdir()
    with box.serve() as url:
        replayed = World(box, url, tmp_path / "again")
        second = replayed.sync(*ENTITIES)
        after = {name: replayed.table(name) for name in ENTITIES}

    assert (first.exit_code, second.exit_code) == (0, 0)
    for name in ENTITIES:
        wanted = [masked_row(masks, name, row) for row in before[name]]
        assert before[name]
        assert sorted(map(str, wanted)) == sorted(str(comparable(row)) for row in after[name])


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what a sync adds; amounts as they are stored, with nine decimals."""
    return {
        name: value.normalize() + 0 if isinstance(value, Decimal) else value
        for name, value in row.items()
        if not name.startswith("_")
    }


def masked_row(masks: Any, entity: str, row: dict[str, Any]) -> dict[str, Any]:
    """The row of a table as it must be after a replay."""
    columns = {c.name: c for c in load_catalogue().entities[entity].columns.values()}
    return comparable(
        {
            name: masked_value(masks, columns.get(name), name, value)
            for name, value in row.items()
            if not name.startswith("_")
        }
    )


def masked_value(masks: Any, column: Any, name: str, value: Any) -> Any:  # noqa: PLR0911
    if value is None or isinstance(value, bool):
        return value
    if name == "division":
        return masks.division(value)
    if isinstance(value, datetime):
        return value - timedelta(days=masks.secrets.days)
    if isinstance(value, Decimal):
        return (value * masks.secrets.factor).quantize(Decimal("1e-9"))
    if column.type_code == "g":
        return masks.guid(value)
    if isinstance(value, str) and name not in {"balance_type", "balance_side"}:
        return masks.text(value)
    is_number = column.field.endswith(("Number", "HID", "Hid")) and column.field != "LineNumber"
    return masks.number(value) if isinstance(value, int) and is_number else value


@pytest.mark.parametrize(
    "command",
    ["sync --destination=filesystem:{0}/lake", "verify --yes --division=1"],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_a_refused_command_leaves_no_recording(
    cli: Cli, tmp_path: Path, command: str, is_there: bool
) -> None:
    folder = tmp_path / "kept"
    if is_there:
        folder.mkdir()
    result = cli(*command.format(tmp_path).split(), f"--record={folder}")

    assert result.code == 2
    assert folder.exists() is is_there
    assert not list(folder.glob("*"))


def test_what_is_no_recording_is_refused(make_cli: Callable[..., Cli], tmp_path: Path) -> None:
    result = make_cli()("sandbox", f"--replay={tmp_path}")

    assert result.code == 2
    assert "--replay" in result.err


def test_a_missing_folder_is_not_called_a_recording(
    make_cli: Callable[..., Cli], tmp_path: Path
) -> None:
    result = make_cli()("sandbox", f"--replay={tmp_path / 'none'}")

    assert result.code == 2
    assert f"no folder {tmp_path / 'none'}" in result.err


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"version": 2})])
def test_a_recording_of_another_version_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "replies").mkdir()
    (tmp_path / "recording.json").write_text(text)
    with pytest.raises(ValueError, match="not a recording"):
        Replay(tmp_path)
