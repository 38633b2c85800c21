"""The [evaluation] section of a recipe: how its bundle is scored.   No part of what is trained."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.settings.strict import PositiveInteger, StrictModel

BleuTokenization = Literal["13a", "none", "intl", "char"]


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

    reported: list[str] = Field(default=[])
    """What others report on these test examples, a line each with its source, for the card. Nobody checks it."""

    @model_validator(mode="after")
    def _corpora_differ(self) -> Self:
        if len(set(self.corpora)) != len(self.corpora):
            raise ValueError(f"corpora are named once each, not {self.corpora}")
        return self
