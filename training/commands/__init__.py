"""The verbs of the command line, and what they print.   Join what is elsewhere."""
