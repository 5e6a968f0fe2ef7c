"""Leases for several workers that share one connection; see ``docs/many-companies.md``."""

from .workers.leases import SqlLeases, leases_from_settings

__all__ = ["SqlLeases", "leases_from_settings"]
