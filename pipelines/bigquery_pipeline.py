"""Exact Online into BigQuery: copy, change, schedule.

Needs ``pip install "exact-source[bigquery]"`` and a service account in ``.dlt/secrets.toml``
(``[destination.bigquery.credentials]``) or Google's default credentials.
"""

import dlt
from dlt.destinations.adapters import bigquery_adapter

from exact_source import exact_online

# The big tables: cheaper to query if a company's rows lie together.
CLUSTERED = ("transaction_lines", "sales_invoice_lines", "sales_order_lines")


def load() -> None:
    """Load the core entities of every company that the app may see."""
    pipeline = dlt.pipeline("exact_online", destination="bigquery", dataset_name="exact_online")
    source = exact_online(divisions="all")
    for name in CLUSTERED:
        bigquery_adapter(source.resources[name], cluster=["division"])
    print(pipeline.run(source))  # noqa: T201 (a script that people run)


if __name__ == "__main__":
    load()
