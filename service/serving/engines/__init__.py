"""Engines and the way to them: batches, decode steps, the processes that run them, and what is told between."""
