"""Translations: what a caller wants into what the engine does, and what it found into text.   Knows no queue."""

from collections.abc import Sequence

from service.bundle.manifest import Translation as TranslationSpec
from service.engine.requests import DecodeOptions, Ending
from service.engine.sampling import GREEDY
from service.errors import AttentionNotAvailableError, InvalidArgumentError
from service.serving.api import Attention, FinishReason, Hypothesis, TokenScore, Translation, TranslationScore
from service.serving.engines.messages import DecodedHypothesis
from service.serving.options import TranslateOptions
from service.text.tokenizer import Tokenizer

MOST_BEAM_TOKENS = 100_000
"""Most beam_size x hypothesis_count x max_output_token_count of one text, so that no answer is out of proportion."""

MOST_ATTENTION_WEIGHTS = 4_000_000
"""Most attention weights of one answer, 4 bytes each: what a client of default settings receives."""

FINISH_REASON = {
    Ending.STOP: FinishReason.STOP,
    Ending.LENGTH: FinishReason.LENGTH,
    Ending.DEADLINE: FinishReason.DEADLINE,
}


def decode_options(options: TranslateOptions, spec: TranslationSpec, *, limit: int, slots: int) -> DecodeOptions:
    """What the engine is asked to do for each text.

    Args:
        options: what the caller wants.
        spec: the model.
        limit: most tokens to write.
        slots: rows that the engine has.

    Raises:
        InvalidArgumentError: a beam or its answer is larger than the server takes; names the field and the limit.
        AttentionNotAvailableError: something needs attention, and the model has none.
    """
    _check_attention(options, spec)
    _check_size(options, limit, slots)
    count = options.hypothesis_count
    return DecodeOptions(
        max_output_token_count=limit,
        sampling=options.sampling or GREEDY,
        sample_count=1 if options.sampling is None else count,
        beam_size=options.beam_size,
        hypothesis_count=count,
        length_penalty=options.length_penalty,
        coverage_penalty=options.coverage_penalty,
        max_length_factor=options.max_length_factor,
        keep_scores=options.include_token_scores or count > 1,
        keep_attention=options.include_attention,
        keep_alignment=options.replace_unknowns,
    )


def _check_attention(options: TranslateOptions, spec: TranslationSpec) -> None:
    needing = {
        "include_attention": options.include_attention,
        "replace_unknowns": options.replace_unknowns,
        "coverage_penalty": options.coverage_penalty > 0,
    }
    for field, asked in needing.items():
        if asked and spec.key_size is None:
            raise AttentionNotAvailableError(f"{field} needs attention, and the model has none", field=field)


def _check_size(options: TranslateOptions, limit: int, slots: int) -> None:
    for field, count in (("beam_size", options.beam_size), ("hypothesis_count", options.hypothesis_count)):
        if count > slots:
            raise InvalidArgumentError(
                f"{field} is {count}, this server decodes at most {slots} hypotheses at once", field=field, limit=slots
            )
    size = options.beam_size * options.hypothesis_count * limit
    if size > MOST_BEAM_TOKENS:
        field = "beam_size" if options.beam_size > 1 else "hypothesis_count"
        raise InvalidArgumentError(
            f"beam_size x hypothesis_count x max_output_token_count is {options.beam_size} x "
            f"{options.hypothesis_count} x {limit}, at most {MOST_BEAM_TOKENS} are taken",
            field=field,
            limit=MOST_BEAM_TOKENS,
        )


def check_attention_size(options: TranslateOptions, source_token_counts: Sequence[int], limit: int) -> None:
    """Refuse an answer with more attention weights than a client could receive.

    Raises:
        InvalidArgumentError: names the field and the limit.
    """
    size = sum(source_token_counts) * options.hypothesis_count * limit
    if options.include_attention and size > MOST_ATTENTION_WEIGHTS:
        raise InvalidArgumentError(
            f"include_attention may bring {size} weights (source tokens x hypothesis_count x max_output_token_count), "
            f"at most {MOST_ATTENTION_WEIGHTS} are sent",
            field="include_attention",
            limit=MOST_ATTENTION_WEIGHTS,
        )


def check_prefixes(decoding: DecodeOptions, sources: Sequence[list[int]], prefixes: Sequence[list[int]]) -> None:
    """Refuse prefixes after which `max_length_factor` would let nothing be written.

    Raises:
        InvalidArgumentError: names the field and the limit.
    """
    for index, (source, prefix) in enumerate(zip(sources, prefixes, strict=False)):
        limit = decoding.limit(len(source))
        if len(prefix) >= limit:
            raise InvalidArgumentError(
                f"target_prefixes[{index}] is {len(prefix)} tokens long; max_length_factor "
                f"{decoding.max_length_factor:g} x {len(source)} source tokens lets at most {limit} be written, and "
                "one has to follow",
                field="max_length_factor",
                limit=limit - 1,
            )


def check_forced(
    spec: TranslationSpec, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], forced: Sequence[list[int]]
) -> None:
    """Refuse target texts, by field, in whose tokens a special one is: no translation has one.

    Raises:
        InvalidArgumentError: names the field and the token.
    """
    special = {spec.target.pad_id, spec.target.bos_id, spec.target.eos_id}
    for (field, _), token_ids in zip(texts, forced, strict=True):
        found = [token_id for token_id in token_ids if token_id in special]
        if found:
            name = tokenizer.tokens(found[:1])[0]
            raise InvalidArgumentError(f"{field} has the special token {name!r}, which no translation has", field=field)


class TranslationWriter:
    """Writes what the engine found for the texts of one request.

    Args:
        spec: the model.
        tokenizers: of source and target.
        options: what the caller wants.
    """

    def __init__(self, spec: TranslationSpec, tokenizers: tuple[Tokenizer, ...], options: TranslateOptions) -> None:
        self._spec = spec
        self._source, self._target = tokenizers
        self._options = options

    def translation(self, text: str, whole: list[int], found: Sequence[DecodedHypothesis]) -> Translation:
        """The hypotheses of one text, whose ids are `whole`; of them a part was translated if they are too many."""
        cut, limit = self._options.truncation, self._spec.max_token_count - 1
        source_ids = list(cut.kept(whole, limit))
        words = cut.kept(self._source.token_words(text), limit) if self._options.replace_unknowns else []
        hypotheses = tuple(self._hypothesis(source_ids, words, one) for one in found)
        return Translation(len(source_ids), hypotheses, len(whole) > limit)

    def _hypothesis(self, source_ids: list[int], words: Sequence[str], found: DecodedHypothesis) -> Hypothesis:
        options = self._options
        copied = self._copied_words(words, found)
        return Hypothesis(
            text=_decode(self._target, found.token_ids, copied),
            token_count=len(found.token_ids),
            finish_reason=FINISH_REASON[found.ending],
            score=found.score,
            token_scores=token_scores(self._target, self._spec, found) if options.include_token_scores else (),
            attention=self._attention(source_ids, found) if options.include_attention else None,
        )

    def _copied_words(self, words: Sequence[str], found: DecodedHypothesis) -> dict[int, str]:
        """By place among the tokens written, the source word that stands in for an unknown one."""
        if not words or found.aligned is None or (unknown := self._target.unknown_id) is None:
            return {}
        pairs = zip(found.token_ids, found.aligned, strict=True)
        return {place: words[source] for place, (token, source) in enumerate(pairs) if token == unknown}

    def _attention(self, source_ids: list[int], found: DecodedHypothesis) -> Attention:
        ends = [] if self._spec.source.eos_id is None else [self._spec.source.eos_id]
        return Attention(
            tuple(self._source.tokens(source_ids + ends)),
            tuple(self._target.tokens(found.token_ids)),
            tuple(tuple(weights) for weights in found.attention or []),
        )


def token_scores(target: Tokenizer, spec: TranslationSpec, found: DecodedHypothesis) -> tuple[TokenScore, ...]:
    """Log-probabilities of the tokens, and of the end-of-sequence token if it was written."""
    ends = [spec.target.eos_id] if found.ending is Ending.STOP and spec.target.eos_id is not None else []
    tokens = target.tokens(found.token_ids + ends)
    return tuple(TokenScore(*pair) for pair in zip(tokens, found.log_probabilities or [], strict=True))


def translation_score(
    target: Tokenizer, spec: TranslationSpec, source_ids: list[int], found: DecodedHypothesis
) -> TranslationScore:
    """What the model thinks of a translation that was forced upon it."""
    return TranslationScore(len(source_ids), token_scores(target, spec, found))


def _decode(target: Tokenizer, token_ids: list[int], copied: dict[int, str]) -> str:
    """Text of tokens; where words are copied in, they are set off by blanks."""
    if not copied:
        return target.decode(token_ids)
    parts, begin = [], 0
    for place, word in copied.items():
        parts += [target.decode(token_ids[begin:place]), word]
        begin = place + 1
    parts.append(target.decode(token_ids[begin:]))
    return " ".join(part for part in parts if part)
