"""Everything that knows dlt: resources, state, tables, destinations and the sync log."""
