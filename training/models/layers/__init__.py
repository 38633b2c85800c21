"""The parts that networks are made of.   Know no task."""
