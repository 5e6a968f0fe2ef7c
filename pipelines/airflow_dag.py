"""Exact Online in Airflow 3: copy this file into your DAGs folder, adapt it, schedule it.

It needs two Airflow connections, for the app and the warehouse; see docs/airflow.md.
"""

from exact_source.airflow import exact_online_dag

dag = exact_online_dag(schedule="@hourly", groups=20)
