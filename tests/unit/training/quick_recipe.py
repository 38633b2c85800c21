"""The smallest recipe that trains a classifier in a moment, as text."""

from collections.abc import Callable

Training = Callable[..., tuple[int, str, str]]
"""The command line in a test's folder: arguments in; exit code, stdout and stderr out."""


def quick_recipe(*, name: str = "quick", max_examples: int = 300, epochs: int = 3) -> str:
    """A few film reviews of the sample; `epochs` is the patience, too."""
    return f"""
name = "{name}"
version = 1
task = "classification"
seed = 1
data = {{corpus = "sample-reviews", max_examples = {max_examples}}}
tokenizer = {{kind = "words"}}
model = {{cell = "lstm", embedding_size = 8, hidden_size = 8}}
training = {{epochs = {epochs}, patience = {epochs}, threads = 1}}
"""
