"""exact-source."""
