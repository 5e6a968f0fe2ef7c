"""Exact Online in Dagster: copy, adapt, run ``dagster dev -f dagster_defs.py``; see docs/dagster.md."""

import dlt

from exact_source.dagster import Books

defs = Books(destination=dlt.destinations.duckdb("exact.duckdb")).definitions()
