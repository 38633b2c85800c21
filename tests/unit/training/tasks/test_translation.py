"""What a translator is validated on."""

from collections.abc import Sequence
from dataclasses import replace

from service.text.tokenizer import Tokenizer
from tests.training_process import PAIRS, tiny_recipe, tiny_splits
from training.data.examples import TextPair
from training.preparation.prepare import prepare
from training.tasks.base import Text
from training.tasks.translation import TranslationTask


class RecordingTokenizer(Tokenizer):
    """Keeps the texts that it is asked to encode."""

    def encode(self, text: str) -> list[int]:
        self.texts = [*getattr(self, "texts", []), text]
        return super().encode(text)


def validated_on(validation: Sequence[TextPair]) -> list[str]:
    recipe = tiny_recipe(batch_tokens=4096)
    short = recipe.data.model_copy(update={"max_output_token_count": 5})  # what it says does not matter here
    splits = replace(tiny_splits(), validation=tuple(validation))
    task = prepare(recipe.model_copy(update={"data": short}), splits)
    assert isinstance(task, TranslationTask)
    tokenizer = RecordingTokenizer.from_bytes(task.source.raw)
    replace(task, source=Text(task.source.raw, tokenizer)).validate()
    return list(tokenizer.texts)


def test_validation_draws_the_same_sources_evenly_from_a_corpus_that_is_sorted_by_length() -> None:
    pairs = [TextPair(" ".join(["cat"] * (1 + index // 100)) + f" {index}", "il gatto") for index in range(1000)]
    drawn = validated_on(pairs)
    lengths = [len(source.split()) - 1 for source in drawn]
    assert [lengths.count(length) for length in range(1, 11)] == [40] * 10
    assert drawn == validated_on(pairs)


def test_validation_on_few_sources_takes_them_all() -> None:
    assert validated_on(PAIRS[:3]) == [pair.source for pair in PAIRS[:3]]
