"""Exact's dialect of OData: builds queries, parses pages. No I/O."""
