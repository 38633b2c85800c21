"""The report of a run: one HTML page of what it learnt, how well, and what it looks at while it reads."""
