"""Rounds of extract and load, and when they end."""
