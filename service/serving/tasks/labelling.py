"""Sequences as callers give them into rows for an engine, and probabilities back into labels and spans.   Pure.

Knows a labeller's spec, tokenizers and limits; no queue, no engine.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.bundle.features import scale_rows
from service.bundle.manifest import FeatureInput, Labelling, WordInput
from service.engine.spans import bio_spans
from service.engine.steps import Step
from service.errors import InvalidArgumentError, SequenceTooLongError, TextTooLongError, WrongInputError
from service.serving.api import LabelledSequence, LabelledStep, LabelScore, LabelSpan
from service.serving.sequences import FeatureRows, FeatureTable, InputSequence, TokenIds, Words
from service.serving.tasks.reading import checked_ids
from service.serving.truncation import Truncation
from service.text.tokenizer import Tokenizer
from service.text.words import EmptyWordError, EncodedWords, LabelPosition, encode_words, split_words

MAX_LABEL_SCORES = 100_000
"""Most probabilities, steps times labels, in one request: the front reads and writes them in half a second."""

_GIVEN_AS = {str: "text", Words: "words", FeatureRows: "rows", TokenIds: "token_ids", FeatureTable: "rows"}


@dataclass(frozen=True)
class ReadSequence:
    """A sequence as the graph takes it, whole or a part of it.

    `positions` says which of its steps are answered, `words` for what word.
    """

    row: Sequence[Step]
    positions: Sequence[int]
    words: Sequence[str]
    truncated: bool = False


@dataclass(frozen=True)
class SequenceReader:
    """Reads sequences for one labeller.

    Args:
        spec: what it takes.
        tokenizers: its tokenizer, where it reads words.
        truncation: which part is read of a sequence that is too long: of words, whole ones.
    """

    spec: Labelling
    tokenizers: tuple[Tokenizer, ...]
    truncation: Truncation = Truncation.REFUSE

    def read(self, sequences: Sequence[InputSequence]) -> list[ReadSequence]:
        """Check and encode every sequence.

        Raises:
            WrongInputError: words for a model of features, or the other way round.
            TextTooLongError: more tokens than are taken, or, where it is truncated, in one word.
            SequenceTooLongError: more rows than are taken.
            InvalidArgumentError: a word without a token; a feature that `scale_rows` refuses; more labels than
                MAX_LABEL_SCORES.
        """
        read = [self._read(sequence, f"sequences[{index}]") for index, sequence in enumerate(sequences)]
        steps, labels = sum(len(one.positions) for one in read), len(self.spec.labels)
        if steps * labels > MAX_LABEL_SCORES:
            raise InvalidArgumentError(
                f"sequences have {steps} steps of {labels} labels each, together at most {MAX_LABEL_SCORES} labels are "
                "given at once",
                field="sequences",
                step_count=steps,
                limit=MAX_LABEL_SCORES // labels,
            )
        return read

    def _read(self, sequence: InputSequence, where: str) -> ReadSequence:
        match self.spec.input, sequence:
            case WordInput() as reads, str() as text:
                return self._encode(reads, split_words(self.tokenizers[0], text, reads.split), f"{where}.text")
            case WordInput() as reads, Words(words):
                return self._encode(reads, words, f"{where}.words")
            case WordInput() as reads, TokenIds(given):
                size = reads.text.vocabulary_size
                ids = checked_ids(given, size, self.spec.max_token_count, f"{where}.token_ids")
                return ReadSequence(ids, range(len(ids)), [""] * len(ids))
            case FeatureInput() as reads, FeatureRows(rows):
                return self._scale(reads, rows, where)
            case FeatureInput() as reads, FeatureTable(table):
                names = [feature.name for feature in reads.features]
                return self._scale(reads, [dict(zip(names, row, strict=True)) for row in table], where)
            case reads, _:
                raise _wrong_input(reads, sequence, where)

    def _scale(self, reads: FeatureInput, rows: Sequence[Mapping[str, float]], where: str) -> ReadSequence:
        where, limit = f"{where}.rows", self.spec.max_token_count
        if len(rows) > self.truncation.accepted(limit):
            raise _too_long(SequenceTooLongError, where, len(rows), "rows", limit)
        kept = self.truncation.kept(scale_rows(reads.features, rows, where=where), limit)
        return ReadSequence(kept, range(len(kept)), [""] * len(kept), len(kept) < len(rows))

    def _encode(self, reads: WordInput, words: Sequence[str], where: str) -> ReadSequence:
        limit = self.spec.max_token_count
        if len(words) > self.truncation.accepted(limit):  # every word has a token: refuse before they are encoded
            raise _too_long(TextTooLongError, where, len(words), "words", limit)
        try:
            encoded = encode_words(self.tokenizers[0], words, reads.label_position)
        except EmptyWordError as error:
            field = f"{where}[{error.index}]" if where.endswith(".words") else where
            raise InvalidArgumentError(
                f"{field}: word {error.index} holds no token that the model knows", field=field
            ) from error
        if not encoded.token_ids:
            raise InvalidArgumentError(f"{where} holds no token that the model knows", field=where)
        first, last = self._whole_words(encoded, reads.label_position)
        if first == last:
            raise _too_long(TextTooLongError, where, len(encoded.token_ids), "tokens", limit)
        return _part(encoded, words, first, last, reads.label_position)

    def _whole_words(self, encoded: EncodedWords, label_position: LabelPosition) -> tuple[int, int]:
        """The first word that is read, and the one after the last; the same where nothing may be read."""
        limit, borders = self.spec.max_token_count, encoded.borders(label_position)
        if borders[-1] <= limit:
            return 0, len(borders) - 1
        match self.truncation:
            case Truncation.REFUSE:
                return 0, 0
            case Truncation.KEEP_BEGINNING:
                return 0, bisect_right(borders, limit) - 1
            case Truncation.KEEP_END:
                return bisect_left(borders, borders[-1] - limit), len(borders) - 1


def _part(
    encoded: EncodedWords, words: Sequence[str], first: int, last: int, label_position: LabelPosition
) -> ReadSequence:
    """Words `first` to `last` - 1 of a sequence."""
    borders = encoded.borders(label_position)
    start, end = borders[first], borders[last]
    positions = [position - start for position in encoded.positions[first:last]]
    return ReadSequence(encoded.token_ids[start:end], positions, words[first:last], last - first < len(words))


def character_counts(sequences: Sequence[InputSequence]) -> list[tuple[str, int]]:
    """The field of every text or list of words, and its characters."""
    counts = []
    for index, sequence in enumerate(sequences):
        if isinstance(sequence, str):
            counts.append((f"sequences[{index}].text", len(sequence)))
        elif isinstance(sequence, Words):
            counts.append((f"sequences[{index}].words", sum(map(len, sequence.words))))
    return counts


def reading_count(sequences: Sequence[InputSequence]) -> int:
    """How many readings or token ids all sequences together have."""
    tables = [one.rows for one in sequences if isinstance(one, FeatureRows | FeatureTable)]
    ids = sum(len(one.ids) for one in sequences if isinstance(one, TokenIds))
    return ids + sum(len(row) for rows in tables for row in rows)


def labelled_sequence(
    spec: Labelling, read: ReadSequence, probabilities: Sequence[Sequence[float]], top_label_count: int | None
) -> LabelledSequence:
    """The labels of a sequence, and under scheme `bio` the spans of the best ones.

    Args:
        spec: names labels and scheme.
        read: the sequence.
        probabilities: [tokens or rows][labels].
        top_label_count: labels to give per step, best first; None means all.
    """
    ranked = [ranked_labels(spec.labels, probabilities[position]) for position in read.positions]
    steps = tuple(LabelledStep(labels[:top_label_count], word) for labels, word in zip(ranked, read.words, strict=True))
    best = [labels[0] for labels in ranked]
    spans = _spans(best) if spec.scheme == "bio" else ()
    return LabelledSequence(steps, spans, len(read.row), truncated=read.truncated)


def ranked_labels(labels: Sequence[str], probabilities: Sequence[float]) -> tuple[LabelScore, ...]:
    """Labels with their probabilities, best first; of equals the one that the model names first."""
    pairs = sorted(zip(labels, probabilities, strict=True), key=lambda pair: -pair[1])
    return tuple(LabelScore(label, share) for label, share in pairs)


def _spans(best: Sequence[LabelScore]) -> tuple[LabelSpan, ...]:
    spans = []
    for span in bio_spans([score.label for score in best]):
        inside = best[span.first : span.last + 1]
        mean = sum(score.probability for score in inside) / len(inside)
        spans.append(LabelSpan(span.type, span.first, span.last, mean))
    return tuple(spans)


def _too_long(
    error: type[TextTooLongError] | type[SequenceTooLongError], where: str, count: int, unit: str, limit: int
) -> TextTooLongError | SequenceTooLongError:
    facts = {f"{unit.removesuffix('s')}_count": count}
    return error(f"{where} has {count} {unit}, at most {limit} are taken", field=where, limit=limit, **facts)


def _wrong_input(reads: WordInput | FeatureInput, sequence: InputSequence, where: str) -> WrongInputError:
    given = _GIVEN_AS[type(sequence)]
    takes = "text, words or token ids" if isinstance(reads, WordInput) else "rows of features"
    return WrongInputError(
        f"{where} is given as {given}, the model takes {takes}", field=f"{where}.{given}", input=reads.kind
    )
