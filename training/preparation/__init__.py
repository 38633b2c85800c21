"""All that stands before the first update: a task with its model, beginning weights, what a run is made from."""
