"""Everything that depends on dlt: resources, state, tables, destinations and the sync log."""
