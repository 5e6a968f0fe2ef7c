"""Talks to Exact Online within its limits: pages, short lists, tombstones, withdrawn columns."""
