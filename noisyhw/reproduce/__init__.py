"""The paper's experiments: its numbers, the runs that repeat them, and the pages that compare both."""
