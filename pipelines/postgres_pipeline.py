"""Exact Online into Postgres: copy this file, adapt it, schedule it.

Needs ``pip install "exact-source[postgres]"`` (without its ADBC driver dlt sends INSERT statements) and
the URL of the database in ``.dlt/secrets.toml`` (``[destination.postgres] credentials``) or in
the environment (``DESTINATION__POSTGRES__CREDENTIALS``).
"""

import dlt

from exact_source import exact_online, run_script, run_to_end


def load() -> int:
    """Load the core entities of every company that the app may see; returns an exit code."""
    pipeline = dlt.pipeline("exact_online", destination="postgres", dataset_name="exact_online")
    outcome = run_to_end(pipeline, exact_online(divisions="all"))
    print(outcome)  # noqa: T201 (a script that people run)
    return outcome.exit_code


if __name__ == "__main__":
    run_script(load)
