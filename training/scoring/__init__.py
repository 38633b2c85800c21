"""Answers and what they are worth, for validation and evaluation alike.   Knows no model."""
