"""The rules of Exact Online as arithmetic, without I/O: queries, feeds, limits, cursors, plans."""
