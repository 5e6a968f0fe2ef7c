"""The figures of ``verify --books`` are the same in every database."""

from __future__ import annotations

from pathlib import Path

import pytest

from exact_source.cli.books import compare
from tests.support.destinations import KINDS, world_in

ENTITIES = (
    "divisions", "gl_accounts", "accounts", "transaction_lines", "sales_invoices",
    "sales_invoice_lines", "sales_orders", "sales_order_lines",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_loaded_books_agree_with_exact_in_every_database(kind: str, tmp_path: Path) -> None:
    with world_in(kind, tmp_path, invoices=4, page_size=60, large_page_size=1000) as world:
        assert world.sync(*ENTITIES).exit_code == 0
        found = compare(world.make_read_only_run(), world.pipeline, world.division)

    assert found.differences == []
    assert found.skipped == {}
    assert {"rows", "balances", "open items", "entries", "documents"} == set(found.compared)
    assert min(found.compared.values()) > 0
