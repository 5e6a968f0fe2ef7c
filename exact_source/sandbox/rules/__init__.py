"""Rules of Exact Online: tokens, limits, rights, and the faults that a test requests."""
