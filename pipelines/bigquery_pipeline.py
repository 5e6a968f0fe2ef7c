"""Exact Online into BigQuery: copy this file, adapt it, schedule it.

Needs ``pip install "exact-source[bigquery]"`` and Google's default credentials (a service account
in GOOGLE_APPLICATION_CREDENTIALS, or ``gcloud auth application-default login``).
"""

import dlt
from dlt.destinations.adapters import bigquery_adapter
from dlt.destinations.impl.bigquery.bigquery_adapter import PartitionTransformation

from exact_source import exact_online, run_script, run_to_end

LOCATION = "EU"  # location of the dataset; it cannot be changed later
# The largest table, partitioned by the column that queries filter by, so that a query of one month is
# billed for that month only. By month, because a load may change at most 4,000 partitions.
BY_MONTH = {"transaction_lines": "date"}


def load() -> int:
    """Load the core entities of every company that the app may see; returns an exit code."""
    destination = dlt.destinations.bigquery(location=LOCATION)
    pipeline = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    source = exact_online(divisions="all")
    for name, column in BY_MONTH.items():
        month = PartitionTransformation("TIMESTAMP_TRUNC({column_name}, MONTH)", column)
        bigquery_adapter(source.resources[name], partition=month)
    outcome = run_to_end(pipeline, source)
    print(outcome)  # noqa: T201 (a script that people run)
    return outcome.exit_code


if __name__ == "__main__":
    run_script(load)
