"""The [pretraining] section of a recipe: the model whose weights another begins from."""

from typing import Annotated

from pydantic import Field

from training.settings.strict import StrictModel


class PretrainingSettings(StrictModel):
    """Where a model begins, and how carefully it moves away from there.

    The model takes over the tokenizer, embedding and recurrent layers (a language model from another also the output
    layer), and learns the rest anew. A model of both directions that begins from one of one direction takes over the
    forward one; its backward one is learnt anew, and not heard by the forward one at first. A translator takes over
    a translator whole.

    Source: Dai & Le 2015, arXiv:1511.01432 (language-model initialisation).
    """

    recipe: Annotated[str, Field(min_length=1)]
    """A recipe for generation or classification, for a tagger also one for labelling of words, for a translator one for
    translation, relative to the folder of this one; of both directions only for a model of both. Its run is trained
    first if it is not there."""
    learning_rate_decay: Annotated[float, Field(ge=1)] = 1.0
    """What was taken over learns slower: each layer by this factor slower than the one above it, the embedding
    slowest. This and the next are for what begins from a model of one direction. Source: Howard & Ruder 2018,
    arXiv:1801.06146, section 3.2, where it is 2.6."""
    gradual_unfreezing: bool = False
    """In the first epoch only what is new learns, and in each further epoch one more layer, from the top down; the
    embedding last. Source: the same, section 3.3."""
