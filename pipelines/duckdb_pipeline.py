"""Exact Online into a DuckDB file: copy, change, schedule."""

from pathlib import Path

import dlt

from exact_source import exact_online, run_script, run_to_end


def load() -> int:
    """Load the core entities of every company that the app may see; gives an exit code."""
    # DuckDB cannot tell a file exact_online.duckdb from a dataset exact_online, hence another name; dlt
    # would take a relative path from the folder in which the pipeline ran first, hence an absolute one.
    destination = dlt.destinations.duckdb(str(Path("exact.duckdb").absolute()))
    pipeline = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    outcome = run_to_end(pipeline, exact_online(divisions="all"))
    print(outcome)  # noqa: T201 (a script that people run)
    return outcome.exit_code


if __name__ == "__main__":
    run_script(load)
