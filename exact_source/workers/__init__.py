"""Many processes that share one connection: leases of divisions, and groups for orchestrators."""
