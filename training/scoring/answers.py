"""What a bundle answered to the test examples, kept whole: scores are made of it, and reports.   Plain values."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.examples import ReferencedText

DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelAnswers:
    """Labels that were given, each with what was right: one per text, or one per step of a sequence.

    Attributes:
        unit: what gets a label, in one word.
        labels: those that the model knows.
        subjects: [answers], what each label was given to, in words.
        expected: [answers]; a label that the model does not know is possible.
        predicted: [answers].
        probabilities: [answers, labels].
    """

    unit: str
    labels: tuple[str, ...]
    subjects: tuple[str, ...]
    expected: tuple[str, ...]
    predicted: tuple[str, ...]
    probabilities: DoubleArray


@dataclass(frozen=True)
class LikelihoodAnswers:
    """How likely each token of each text was, given those before it.

    Attributes:
        texts: as they are in the corpus.
        log_likelihoods: per text [tokens + 1], in nats, the end last.
    """

    texts: tuple[str, ...]
    log_likelihoods: tuple[DoubleArray, ...]


@dataclass(frozen=True)
class TranslationAnswers:
    """Translations, each with its source and the references.

    Attributes:
        groups: sources, in the order of the corpus, each once.
        hypotheses: [groups].
        source_token_counts: [groups], ends included.
    """

    groups: tuple[ReferencedText, ...]
    hypotheses: tuple[str, ...]
    source_token_counts: tuple[int, ...]


Answers = LabelAnswers | LikelihoodAnswers | TranslationAnswers
