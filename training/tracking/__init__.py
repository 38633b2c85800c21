"""Where the numbers of a run go while it trains: observers of the loop, one file per tracker."""
