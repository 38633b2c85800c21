"""The [labelling] section of a recipe: how sequences become steps that get a label each."""

from typing import Literal

from service.text.words import LabelPosition, Split
from training.settings.strict import PositiveInteger, StrictModel


class LabellingSettings(StrictModel):
    """How sequences become steps that get a label each."""

    scheme: Literal["plain", "bio"] | None = None
    """`bio`: labels are O, B-TYPE, I-TYPE, marking spans. `plain`: each stands for itself. Left out: as they look."""
    label_position: LabelPosition = "last"
    """Which token of a word carries its label, where a word has several. Words only."""
    split: Split = "tokenizer"
    """Where the service cuts a text into words: as the tokenizer does, or at white space alone. Words only."""
    window_length: PositiveInteger = 128
    """Training reads series in pieces of at most this many steps. Readings only."""

    def given(self, *names: str) -> list[str]:
        """Which of these settings the recipe has."""
        return [name for name in names if name in self.model_fields_set]
