"""Entities as dlt resources: one stream per entity and division, its chain of pages, what is gone."""
