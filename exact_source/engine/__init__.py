"""Reads companies page by page into rows and cursors; knows no destination, only ``ports``."""
