"""Use of the public names for type checkers: checked by ``make types``, never run.

An unused ignore is an error there, so each line with an ignore must be refused.
"""

from __future__ import annotations

from exact_source import EntityName, exact_online


def names_of_resources(chosen: list[EntityName]) -> None:
    exact_online()
    exact_online(entities=None)
    exact_online(entities="all")
    exact_online(entities="accounts")
    exact_online(entities=["accounts", "transaction_lines"])
    exact_online(entities=("accounts", "all"))
    exact_online(entities=chosen)

    exact_online(entities="acounts")  # type: ignore[arg-type]
    exact_online(entities=["accounts", "transactions"])  # type: ignore[list-item]
    exact_online(entities=[1])  # type: ignore[list-item]
