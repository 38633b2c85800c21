"""Each task, one per file: its examples encoded, its loss, its validation metric.   Owns no loop."""
