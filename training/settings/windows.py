"""The [windows] section of a recipe: a language model reads its texts as one stream, a window at a time."""

from typing import Annotated

from pydantic import Field

from training.settings.strict import StrictModel


class WindowSettings(StrictModel):
    """How the stream is cut.

    All texts are joined, each with its begin and its end. The stream is cut into rows that are read side by side, as
    many as `training.batch_tokens` has room for, and each row into windows. The state is carried from window to
    window, gradients are not (truncated backpropagation through time), and so no text is too long.
    """

    token_count: Annotated[int, Field(ge=2)]
    """Tokens of a window: how far back gradients reach."""
    random_token_count: bool = False
    """Windows are now a little longer, now shorter, and one in twenty half as long, so that their borders fall on
    other tokens in each epoch. Source: Merity et al. 2017, arXiv:1708.02182, section 5."""
    continuous: bool = True
    """The texts follow one another, as sentences of a newspaper do: they stay in order, and validation and test carry
    the state from each to the next. If not, they have nothing to do with one another, as reviews and tunes have not:
    each epoch joins them in another order, and validation and test read each from the zero state, as the service does.
    """
