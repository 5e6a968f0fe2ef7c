"""What Exact Online allows: tokens, limits, rights, and the faults that a test asks for."""
