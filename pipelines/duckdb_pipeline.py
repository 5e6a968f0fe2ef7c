"""Exact Online into a DuckDB file: copy, change, schedule."""

import dlt

from exact_source import exact_online


def load() -> None:
    """Load the core entities of every company that the app may see."""
    # DuckDB cannot tell a file exact_online.duckdb from a dataset exact_online, hence another name.
    destination = dlt.destinations.duckdb("exact.duckdb")
    pipeline = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    print(pipeline.run(exact_online(divisions="all")))  # noqa: T201 (a script that people run)


if __name__ == "__main__":
    load()
