"""One training run: the loop, its checkpoints, who watches it.   Knows no task by name."""
