"""Device physics: noise on reads, and what writing does to cells."""
