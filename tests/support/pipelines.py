"""The lines that a copied pipeline must have loaded."""

from __future__ import annotations

from tests.support.world import World

LINES = "bulk/Financial/TransactionLines"
COUNT = "SELECT division, count(*) FROM exact_online.transaction_lines GROUP BY division"


def truth(world: World) -> dict[int, int]:
    """Division -> number of lines at Exact."""
    path = "financialtransaction/TransactionLines"
    return {d: len(world.box.rows(path, d)) for d in world.box.divisions}
