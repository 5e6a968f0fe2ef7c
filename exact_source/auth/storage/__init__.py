"""Where tokens are stored: in a file, in a SQL database, or in a dlt destination."""
