"""Training runs: resolving an experiment, the loop, the run folder."""
