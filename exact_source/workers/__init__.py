"""For several processes that share one connection: leases of divisions, pipelines and loads."""
