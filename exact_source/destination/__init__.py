"""What the destination holds and is told: tables, first loads, history, comments, indexes."""
