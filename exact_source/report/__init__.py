"""A page of the books: figures by the SQL of the dbt package, charts and HTML without a network."""
