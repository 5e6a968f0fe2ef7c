"""Exact Online into BigQuery: copy, change, schedule.

Needs ``pip install "exact-source[bigquery]"`` and Google's default credentials (a service account
in GOOGLE_APPLICATION_CREDENTIALS, or ``gcloud auth application-default login``).
"""

import dlt
from dlt.destinations.adapters import bigquery_adapter
from dlt.destinations.impl.bigquery.bigquery_adapter import PartitionTransformation

from exact_source import exact_online, run_script, run_to_end

LOCATION = "EU"  # where the dataset is made; it cannot move later
# The table that grows, and the column that its readers filter by: a query of one month is billed for
# that month. Months and not days, because a load may touch 4,000 partitions at most.
BY_MONTH = {"transaction_lines": "date"}


def load() -> int:
    """Load the core entities of every company that the app may see; gives an exit code."""
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
