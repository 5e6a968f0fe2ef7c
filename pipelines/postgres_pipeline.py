"""Exact Online into Postgres: copy, change, schedule.

Needs ``pip install "exact-source[postgres]"`` (without ADBC dlt would send INSERT statements) and
the address of the database in ``.dlt/secrets.toml`` (``[destination.postgres] credentials``) or in
the environment (``DESTINATION__POSTGRES__CREDENTIALS``).
"""

import dlt

from exact_source import exact_online


def load() -> None:
    """Load the core entities of every company that the app may see."""
    pipeline = dlt.pipeline("exact_online", destination="postgres", dataset_name="exact_online")
    print(pipeline.run(exact_online(divisions="all")))  # noqa: T201 (a script that people run)


if __name__ == "__main__":
    load()
