"""Sequences into rows of any graph that reads whole ones, and what it said back, unranked.   Pure; no queue, no engine.

For callers who want the graph's own numbers. Labellers read as `labelling` does.
"""

from collections.abc import Sequence

from service.bundle.manifest import Classification, Labelling, TaskSpec
from service.errors import WrongInputError, WrongTaskError
from service.serving.engines.messages import Classified
from service.serving.sequences import InputSequence, SequenceLogits, TokenIds
from service.serving.tasks.labelling import ReadSequence, SequenceReader
from service.serving.tasks.reading import checked_ids, checked_row
from service.text.tokenizer import Tokenizer


def spec_with_logits(spec: TaskSpec, reference: str) -> Classification | Labelling:
    """The spec again, if its graph answers whole sequences at once.

    Raises:
        WrongTaskError: it writes tokens one by one.
    """
    if isinstance(spec, Classification | Labelling):
        return spec
    raise WrongTaskError(
        f"model {reference} does {spec.task}, logits are given for classification and labelling",
        field="model",
        task=spec.task,
    )


def read_rows(
    spec: Classification | Labelling, tokenizers: tuple[Tokenizer, ...], sequences: Sequence[InputSequence]
) -> list[ReadSequence]:
    """Check and encode every sequence.

    Raises:
        WrongInputError: a classifier was given something else than texts and token ids.
        ServiceError: as `SequenceReader.read` says; of a classifier, as `checked_row` and `checked_ids` say.
    """
    if isinstance(spec, Labelling):
        return SequenceReader(spec, tokenizers).read(sequences)
    return [_classified_row(spec, tokenizers[0], sequence, index) for index, sequence in enumerate(sequences)]


def _classified_row(spec: Classification, tokenizer: Tokenizer, sequence: InputSequence, index: int) -> ReadSequence:
    where = f"sequences[{index}]"
    match sequence:
        case str() as text:
            ids = checked_row(tokenizer.encode(text), 1, spec.max_token_count, f"{where}.text")
        case TokenIds(given):
            size = spec.text.vocabulary_size
            ids = checked_ids(given, size, spec.max_token_count, f"{where}.token_ids")
        case _:
            raise WrongInputError(f"{where} is neither text nor token ids", field=where)
    return ReadSequence(ids, [0], [""])


def sequence_logits(read: Sequence[ReadSequence], answer: Classified) -> tuple[SequenceLogits, ...]:
    """What the graph said of every sequence, at the steps that are answered."""
    rows = zip(read, answer.logits, answer.probabilities, strict=True)
    return tuple(
        SequenceLogits(
            [logits[position] for position in one.positions],
            [shares[position] for position in one.positions],
            tuple(one.words),
        )
        for one, logits, shares in rows
    )
