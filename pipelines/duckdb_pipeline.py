"""Exact Online into a DuckDB file: copy this file, adapt it, schedule it."""

from pathlib import Path

import dlt

from exact_source import exact_online, run_script, run_to_end


def load() -> int:
    """Load the core entities of every company that the app may see; returns an exit code."""
    # The file and the dataset need different names, because DuckDB confuses them otherwise. dlt
    # resolves a relative path from the folder of the first run, so the path is absolute.
    destination = dlt.destinations.duckdb(str(Path("exact.duckdb").absolute()))
    pipeline = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    outcome = run_to_end(pipeline, exact_online(divisions="all"))
    print(outcome)  # noqa: T201 (a script that people run)
    return outcome.exit_code


if __name__ == "__main__":
    run_script(load)
