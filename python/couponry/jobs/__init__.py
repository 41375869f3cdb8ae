"""Background work. Any number of workers may do it at once: safety comes from the rows' locks, not from a leader."""
