"""A page of the books: figures from the SQL of the dbt package, charts, and HTML that needs no network."""
