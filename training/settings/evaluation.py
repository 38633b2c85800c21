"""The [evaluation] section of a recipe: how its bundle is scored.   No part of what is trained."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.settings.strict import PositiveInteger, StrictModel

BleuTokenization = Literal["13a", "none", "intl", "char"]


class TuneSettings(StrictModel):
    """How many tunes a model of ABC notation writes for a parser to read, and how it draws them."""

    count: PositiveInteger = 200
    """Tunes of a block, and held-out ones that are read beside them."""
    temperature: Annotated[float, Field(gt=0, le=10)] = 0.8
    """Below 1: likelier notes."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Of the first tune; the others count up from it, over all blocks."""
    blocks: PositiveInteger = 1
    """How many times so many are written."""


class EvaluationSettings(StrictModel):
    """How the exported bundle is scored. Has no part in what is trained."""

    beam_size: PositiveInteger = 1
    """How wide a translator searches; 1 is greedy. Translation only."""
    length_penalty: Annotated[float, Field(ge=0, le=10)] = 0.6
    """Exponent of the length penalty that a beam's hypotheses are compared by. Tuned on validation examples, if at all;
    else the service's own. Translation only. Source: Wu et al. 2016, arXiv:1609.08144, section 7."""
    bleu_tokenization: BleuTokenization = "13a"
    """How sacrebleu cuts texts into words. `none`: at white space, for corpora that are tokenised already. Translation
    only."""
    corpora: Annotated[list[str], Field(max_length=8)] = Field(default=[])
    """Further corpora of the same task whose test examples the bundle is scored on."""
    tunes: Annotated[TuneSettings | None, Field(exclude_if=lambda value: value is None)] = None
    """The bundle writes tunes in ABC notation, and a parser reads them. Generation only. Left out: it writes none; then
    it is left out of what a card shows of a recipe, too, for cards from before there was it."""

    reported: list[str] = Field(default=[])
    """What others report on these test examples, a line each with its source, for the card. Nobody checks it."""

    notes: Annotated[list[str], Field(exclude_if=lambda value: not value)] = Field(default=[])
    """What who uses the model should know beside, a paragraph each, for the card's limits. Without any, it is left out
    of what a card shows of a recipe, as `tunes` is."""

    @model_validator(mode="after")
    def _corpora_differ(self) -> Self:
        if len(set(self.corpora)) != len(self.corpora):
            raise ValueError(f"corpora are named once each, not {self.corpora}")
        return self
