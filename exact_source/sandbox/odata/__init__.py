"""OData queries, literals, paging and payloads of the sandbox."""
