"""Sends requests to Exact Online within its limits, and reads short lists in full."""
