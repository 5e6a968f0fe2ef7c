"""The page and the names that are committed are those of the catalogue, and leave nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from exact_source.catalogue import choose_entities
from exact_source.catalogue.catalogue import read_catalogue
from exact_source.catalogue.names import EntityName
from exact_source.catalogue.types import TYPES
from tools.catalogue.document import NAMES, PAGE, render, render_names

catalogue = read_catalogue()
FULL = Path(__file__).parents[2] / "../shared/catalog/catalog.json"
AGAIN = "run python -m tools.catalogue.document"


def endpoint_tables() -> str:
    """The part of the page with one table for each service, and the endpoints that are not read."""
    return PAGE.read_text("utf-8").partition("\n## accountancy\n")[2]


def listed() -> list[str]:
    """Endpoints in the first column of the tables of endpoints."""
    return re.findall(r"^\| `([A-Za-z]+/[A-Za-z/]+)`", endpoint_tables(), re.MULTILINE)


def test_the_page_is_the_one_that_the_catalogue_makes() -> None:
    assert PAGE.read_text("utf-8") == render(catalogue), AGAIN


def test_every_endpoint_is_on_the_page_once() -> None:
    paths = {f.path for e in catalogue.entities.values() for f in e.feeds.values()}
    assert len(listed()) == len(set(listed())) == 471
    assert set(listed()) == paths | catalogue.unread.keys()


def test_every_endpoint_that_exact_documents_is_on_the_page() -> None:
    if not FULL.exists():
        pytest.skip("the full catalogue is not here")
    full = json.loads(FULL.read_text("utf-8"))
    current = {record["id"] for record in full if record["status"] == "current"}
    assert len(current) == 427
    assert current <= set(listed())


def test_every_line_has_all_columns() -> None:
    for line in endpoint_tables().splitlines():
        if line.startswith("| `") and line.count("|") > 4:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            assert len(cells) == 9, line
            assert cells[2] in {"all rows", "first load", "changes", "each time", "route only"}
            assert re.sub(r" \(\d+\)", "", cells[6]) in {
                "tombstones",
                "full pass",
                "keys",
                "never",
            }
            assert cells[5] or cells[1] == "`manufacturing_settings`", line


def test_every_function_is_compared_with_a_source_on_the_page() -> None:
    section = (
        PAGE.read_text("utf-8").partition("### Sources of the parameters")[2].partition("\n## ")[0]
    )
    functions = re.findall(
        r"^\| `([A-Za-z]+/[A-Za-z/]+)` \| [^|]+ \| [a-z, ]+ \|$", section, re.MULTILINE
    )
    feeds = [f for e in catalogue.entities.values() for f in e.feeds.values()]
    assert functions == sorted(f.path for f in feeds if f.kind == "function")


def test_every_type_of_exact_is_on_the_page() -> None:
    section = PAGE.read_text("utf-8").partition("\n## Types\n")[2].partition("\n## ")[0]
    rows = re.findall(
        r"^\| `(Edm\.\w+)`.* \| `(.+)` \| `(.+)` \| `(.+)` \| `(.+)` \|$", section, re.MULTILINE
    )
    assert {row[0] for row in rows} == set(TYPES)
    assert len(rows) == len(TYPES) + 1  # a double, or an amount


def test_names_are_those_of_all_resources() -> None:
    assert NAMES.read_text("utf-8") == render_names(catalogue), AGAIN
    assert set(get_args(EntityName)) == set(choose_entities("all", catalogue))
