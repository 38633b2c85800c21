"""How weights move: one update, the optimizer, averages, several processes.   Runs no epoch, writes no file."""
