"""How weights move: one update, the optimizer, averages, several processes.   Knows no epochs."""
