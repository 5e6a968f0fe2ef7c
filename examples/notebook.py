"""A marimo notebook: two pages of accounts without a pipeline, then a sync into DuckDB and a query.

marimo edit examples/notebook.py      in a browser
python examples/notebook.py           without one
"""

import marimo

app = marimo.App()


@app.cell
def _():
    import pathlib

    import dlt

    from exact_source import exact_online, run_to_end

    return dlt, exact_online, pathlib, run_to_end


@app.cell
def _(exact_online):
    source = exact_online(entities=["accounts"])
    preview = list(source.accounts.add_limit(2))
    [page.num_rows for page in preview]


@app.cell
def _(dlt, exact_online, pathlib, run_to_end):
    destination = dlt.destinations.duckdb(str(pathlib.Path("exact.duckdb").absolute()))
    pipeline = dlt.pipeline("exact_online", destination=destination, dataset_name="exact_online")
    outcome = run_to_end(pipeline, exact_online(entities=["accounts", "transaction_lines"]))
    print(outcome)  # noqa: T201 (shown below the cell)
    return (pipeline,)


@app.cell
def _(pipeline):
    by_company = pipeline.dataset()(
        "SELECT division, SUM(amount_dc) AS total, COUNT(*) AS n FROM transaction_lines GROUP BY division"
    ).arrow()
    by_company  # noqa: B018 (shown below the cell)


if __name__ == "__main__":
    app.run()
