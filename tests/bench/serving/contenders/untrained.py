"""Untrained translators of any size, for what depends on sizes alone."""

from pathlib import Path

from service.bundle.manifest import Precision, Producer, TextSpec, Translation
from tests.bench.serving.contenders.engine_model import answers_alone
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.load.spec import Item
from training.data.encoding.tokenization import BOS_ID, EOS_ID, PAD_ID, train_tokenizer
from training.export.bundle import Release, draft_release, made_now
from training.export.graphs.pooling import TIME_MULTIPLE
from training.export.trained import TrainedModel
from training.models.seq2seq import Seq2Seq
from training.settings.model import ModelSettings
from training.settings.recipe import ExportSettings, TokenizerSettings

SPECIAL_COUNT = 4
TEXT_COUNT = 64


def untrained_translator(
    repository: Path, *, vocabulary: int = 4000, hidden: int = 192, most_tokens: int = 256, precision: Precision
) -> Path:
    """Publish a translator with random weights and return its folder; one that is there already is taken."""
    name = f"untrained-{vocabulary}-{hidden}-{precision}"
    folder = repository / name / name / "1"
    if folder.exists():
        return folder
    settings = ModelSettings.model_validate(
        {"cell": "lstm", "embedding_size": 128, "hidden_size": hidden, "bidirectional": True, "attention": "general"}
    )
    raw = train_tokenizer(
        [" ".join(f"w{number}" for number in range(vocabulary - SPECIAL_COUNT))],
        TokenizerSettings(kind="words", vocabulary_size=vocabulary),
    )
    network = Seq2Seq(settings, vocabulary, vocabulary).eval()
    spec = Translation(
        task="translation",
        source=_text("source.tokenizer.json", vocabulary, "en"),
        target=_text("target.tokenizer.json", vocabulary, "it"),
        max_token_count=most_tokens,
        max_output_token_count=most_tokens,
        state_size=network.state_size,
        key_size=hidden,
        value_size=2 * hidden,
        time_multiple=TIME_MULTIPLE,
    )
    trained = TrainedModel(settings, spec, {one.tokenizer: raw for one in (spec.source, spec.target)}, network)
    producer = Producer(recipe=name, recipe_sha256="0" * 64, seed=0, **made_now())
    export = ExportSettings(precisions=[precision], default=precision)
    draft = draft_release(trained, Release(name, 1, producer), export)
    return draft.publish(f"# {name} 1\n\nUntrained: only its size is of use.\n", repository / name)


def untrained_job(folder: Path, source_tokens: int, most_written: int, vocabulary: int = 4000) -> Job:
    """Texts of one length for an untrained translator, with what our own engine answers to each alone.

    Args:
        folder: of the translator.
        source_tokens: of each text.
        most_written: tokens of an answer.
        vocabulary: of the translator.
    """
    words = vocabulary - SPECIAL_COUNT
    texts = [
        " ".join(f"w{(text * 7919 + place * 31) % words}" for place in range(source_tokens))
        for text in range(TEXT_COUNT)
    ]
    answers = answers_alone(folder, texts, "greedy", most_written)
    items = [Item(text, *answer) for text, answer in zip(texts, answers, strict=True)]
    name = folder.parent.name
    return Job("translation", name, folder, name.rsplit("-", 1)[1], items, "made up", most_written)


def _text(file: str, size: int, language: str) -> TextSpec:
    return TextSpec(
        tokenizer=file, vocabulary_size=size, pad_id=PAD_ID, bos_id=BOS_ID, eos_id=EOS_ID, language=language
    )
