"""Exact Online in Airflow 3: copy into your folder of DAGs, change, schedule.

Two connections hold the app and the warehouse; see docs/airflow.md.
"""

from exact_source.airflow import exact_online_dag

dag = exact_online_dag(schedule="@hourly", groups=20)
