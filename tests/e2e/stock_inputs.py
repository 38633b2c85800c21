"""What the stock client is given to send, for tests that ask the own API the same.   Imports no client."""

from typing import Any

TEXTS = ["a good film", "the plot is dull and the cast is good", "bad"]
SENTENCES = ["Mary Smith lives in New York", "It rains in Rome"]
SOURCES = ["The black dog jumped over the cat", "A child ate the red apple."]
TOKEN_IDS = [[4, 5, 6, 7], [8, 9, 0, 0]]
LENGTHS = [4, 2]
FEATURES = ["temperature", "humidity", "wind"]
READINGS = [[[12.5, 70.0, 3.2], [14.25, 55.0, 1.0]], [[9.0, 90.0, 6.5], [8.0, 88.0, 7.0]]]
SEARCH: dict[str, Any] = {"beam_size": 4, "hypothesis_count": 2, "length_penalty": 0.5, "max_output_token_count": 12}
PROMPT = "X:1\nK:G\n"
MELODY: dict[str, Any] = {"seed": 11, "temperature": 1, "top_k": 5, "max_output_token_count": 30}
"""Temperature as an integer, as a caller in Python may write it."""
