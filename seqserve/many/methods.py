"""What differs by task in a run of many inputs: how an input is written into a request, and its answer read."""

from collections.abc import Sequence

from seqserve import convert
from seqserve.many.plan import Method, Reply
from seqserve.options import GenerateOptions, TranslateManyOptions, Truncation
from seqserve.results import (
    Classification,
    GeneratedChunk,
    GeneratedText,
    LabelledSequence,
    Translation,
    TranslationScore,
)
from seqserve.v1 import inference_service_pb2 as inference


def classifying(model: str, top_label_count: int | None, truncation: Truncation | None) -> Method[str, Classification]:
    """By ClassifyText."""

    def request(texts: Sequence[str]) -> inference.ClassifyTextRequest:
        return convert.classify_request(model, texts, top_label_count, truncation)

    def reply(response: inference.ClassifyTextResponse) -> Reply[Classification]:
        result = convert.classify_result(response)
        return Reply(result.classifications, result.model_version, result.timings)

    return Method("texts", _text, request, reply)


def labelling(
    model: str, top_label_count: int | None, truncation: Truncation | None
) -> Method[convert.InputSequence, LabelledSequence]:
    """By LabelSequence."""

    def piece(given: convert.InputSequence, where: str) -> tuple[inference.InputSequence, int]:
        sequence = convert.input_sequence(given, where)
        return sequence, sequence.ByteSize()

    def request(sequences: Sequence[inference.InputSequence]) -> inference.LabelSequenceRequest:
        return inference.LabelSequenceRequest(
            model=model,
            sequences=sequences,
            top_label_count=top_label_count,
            truncation=convert.on_the_wire(truncation),
        )

    def reply(response: inference.LabelSequenceResponse) -> Reply[LabelledSequence]:
        result = convert.label_result(response)
        return Reply(result.sequences, result.model_version, result.timings)

    return Method("sequences", piece, request, reply)


def translating(model: str, options: TranslateManyOptions) -> Method[str, Translation]:
    """By TranslateText."""

    def reply(response: inference.TranslateTextResponse) -> Reply[Translation]:
        result = convert.translate_result(response)
        return Reply(result.translations, result.model_version, result.timings, result.seed)

    return Method("texts", _text, lambda texts: convert.translate_request(model, texts, options), reply)


def scoring(model: str) -> Method[tuple[str, str], TranslationScore]:
    """By ScoreTranslation."""

    def piece(given: tuple[str, str], where: str) -> tuple[tuple[str, str], int]:
        source, target = given
        return given, _text(source, f"{where}.source")[1] + _text(target, f"{where}.target")[1]

    def reply(response: inference.ScoreTranslationResponse) -> Reply[TranslationScore]:
        result = convert.score_result(response)
        return Reply(result.scores, result.model_version, result.timings)

    return Method("pairs", piece, lambda pairs: convert.score_request(model, pairs), reply)


def generating(model: str, options: GenerateOptions) -> Method[str, tuple[GeneratedText, ...]]:
    """By GenerateText, a request for each prompt. The response is all chunks of a stream."""

    def reply(response: Sequence[GeneratedChunk]) -> Reply[tuple[GeneratedText, ...]]:
        texts = convert.generated_texts(response)
        return Reply([texts], texts[0].model_version, texts[0].timings, texts[0].seed)

    def request(prompts: Sequence[str]) -> inference.GenerateTextRequest:
        return convert.generate_request(model, prompts[0], options)

    return Method("prompt", _text, request, reply, inputs_per_request=1)


def _text(given: str, where: str) -> tuple[str, int]:
    """A text as it is, and its size.

    Raises:
        TypeError, ValueError: it is no text, or none that UTF-8 can spell.
    """
    if not isinstance(given, str):
        raise TypeError(f"{where} is {type(given).__name__}, expected a text")
    try:
        return given, len(given.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} is not UTF-8: {error}") from error
