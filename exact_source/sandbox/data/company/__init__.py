"""Generated bookkeeping of one company: it is consistent and reproducible from a seed."""
