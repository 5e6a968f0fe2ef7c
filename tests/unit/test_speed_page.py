"""The page about speed shows the measured figures and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import held_against_the_real_ones
from tools.docs.speed_page import COMPARED, MEASURED, PAGE, PICTURE, SCALED, drawing, page

MEASURE_AGAIN = "run make bench, or python -m tools.docs.speed_page"


def test_the_page_is_the_one_that_the_measurements_make() -> None:
    measured, scaled = (json.loads(path.read_text("utf-8")) for path in (MEASURED, SCALED))
    compared = json.loads(COMPARED.read_text("utf-8")) if COMPARED.exists() else None
    assert PAGE.read_text("utf-8") == page(measured, scaled, compared), MEASURE_AGAIN
    assert PICTURE.read_text("utf-8") == drawing(scaled), MEASURE_AGAIN


def test_the_page_has_every_part_that_is_measured() -> None:
    from benchmarks.run import PARTS

    found = {one["part"] for one in json.loads(MEASURED.read_text("utf-8"))["results"]}
    assert found - {"idle"} == {*PARTS, "start"}
    assert [name for name in sorted(found) if _title(name) not in PAGE.read_text("utf-8")] == []


def _title(name: str) -> str:
    from tools.docs.speed_page import PARTS

    return f"## {PARTS[name]}\n"


def test_the_model_of_companies_agrees_with_the_real_client() -> None:
    real_s, model_s = held_against_the_real_ones(1)
    assert model_s == pytest.approx(real_s, rel=0.02)


@pytest.mark.parametrize(("machine", "kept"), [("here", ["empty", "start"]), ("there", ["empty"])])
def test_parts_that_are_not_measured_again_stay_if_they_are_of_this_machine(
    tmp_path: Path, machine: str, kept: list[str]
) -> None:
    from benchmarks.run import with_earlier

    def results(*parts: str) -> list[dict[str, Any]]:
        return [{"part": part, "wall_s": len(parts)} for part in parts]

    file = tmp_path / "results.json"
    file.write_text(
        json.dumps({"machine": "here", "columns": 60, "results": results("start", "empty")})
    )
    found = with_earlier({"machine": machine, "columns": 60, "results": results("empty")}, file)

    assert [r["part"] for r in found["results"]] == kept
    assert found["results"][0]["wall_s"] == 1
