"""Made-up bookkeeping of one company: everything adds up, and all of it follows from a seed."""
