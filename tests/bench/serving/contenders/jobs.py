"""What is served and asked: a bundle for each task, real texts for it, and the answers that its graphs give alone."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.bundle.manifest import Precision
from service.bundle.store import WEIGHTS_NAME, OpenedBundle, open_bundle
from service.text.tokenizer import Tokenizer
from tests.bench.serving.contenders.engine_model import BEAM, TOP_K, TOP_P, answers_alone
from tests.bench.serving.load.spec import Item, Task
from tests.bench.serving.peers.bare_models import load
from training.data.examples import LabelledText, PlainText, TextPair
from training.data.load import load_corpus
from training.errors import DataError
from training.export.rebuild import publish_rebuilt
from training.settings.recipe import load_recipe

RECIPES = Path(__file__).parents[4] / "training" / "recipes"
PROMPT_CHARACTERS = 32
"""Of a melody's text, that begin a generation: its head and the first notes."""
MOST_ITEMS = 512
CORPORA: dict[Task, tuple[str, ...]] = {
    "classification": ("sst2-stsa", "sample-reviews"),
    "translation": ("manythings-ita-eng", "sample-sentences"),
    "generation": ("nottingham-abc", "sample-melodies"),
}
"""Of each task the corpus of real texts, and the samples."""
PREFERRED = ("sst2-pretrained", "imdb", "en-it", "melody")
"""Of several models for a task the best first; they are asked the task's corpus, others their own."""
MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "sampled": {"temperature": 1.0, "seed": 1},
    "top_k": {"temperature": 1.0, "top_k": TOP_K, "seed": 1},
    "top_p": {"temperature": 1.0, "top_p": TOP_P, "seed": 1},
    "beam": {"beam_size": BEAM},
}
"""Options of a call that chooses tokens so."""
GENERATED = 64
"""Most tokens of a generation."""
UNFIT = ("names",)
"""Models that classify, but no sentences."""


@dataclass(frozen=True)
class Job:
    """One task's share of the bench.

    Attributes:
        task: of the bundle.
        name: of the model.
        folder: of the version that is served.
        precision: that it is served in.
        items: texts with their answers.
        corpus: that the texts are of.
        token_count: most tokens to write; None: as many as the model may.
        mode: how tokens are chosen, as `BareSpec.mode`.
    """

    task: Task
    name: str
    folder: Path
    precision: str
    items: list[Item]
    corpus: str
    token_count: int | None = None
    mode: str = "greedy"

    @property
    def options(self) -> dict[str, Any]:
        """Of a call whose answer is the items'."""
        limit = {} if self.token_count is None else {"max_output_token_count": self.token_count}
        chosen = {"temperature": 0.0} if self.mode == "greedy" and self.task == "generation" else MODES[self.mode]
        return {**chosen, **limit}

    def in_mode(self, mode: str) -> "Job":
        """The same texts, with what our own engine answers to each alone when tokens are chosen so."""
        texts = [item.text for item in self.items]
        answers = answers_alone(self.folder, texts, mode, self.token_count)
        return replace(
            self, mode=mode, items=[Item(text, *answer) for text, answer in zip(texts, answers, strict=True)]
        )

    @property
    def reference(self) -> str:
        """The model with its version, as requests name one."""
        return f"{self.name}@{self.folder.name}"

    @property
    def repository(self) -> Path:
        """Holds the model and no other."""
        return self.folder.parents[1]

    @property
    def tokens_per_item(self) -> float:
        """Mean tokens of an answer."""
        return sum(item.token_count for item in self.items) / len(self.items)

    @property
    def has_weights(self) -> bool:
        """Whether torch can run it, too."""
        return (self.folder / WEIGHTS_NAME).exists()


def prepare_job(task: Task, models: Sequence[Path], *, precision: Precision, data: Path | None, work: Path) -> Job:
    """Choose the bundle of a task, put it into a repository of its own, and find out the right answers.

    Args:
        task: one bundle of it is taken, as `find_bundle` does.
        models: repositories of bundles, in the order that they are looked through.
        precision: to serve in; a bundle with another default is exported anew if it has weights.
        data: the folder of the real corpora, or None.
        work: where the repository is made.

    Raises:
        DataError: there is no such bundle.
    """
    bundle = find_bundle(task, models)
    folder = _in_precision(bundle, precision, work / task)
    opened = open_bundle(folder)
    corpus, texts = _texts(task, opened, data)
    limit = GENERATED if task == "generation" else None
    items = _answered(folder, texts, limit)
    return Job(task, opened.manifest.name, folder, opened.manifest.default_precision, items, corpus, limit)


def find_bundle(task: Task, models: Sequence[Path]) -> OpenedBundle:
    """The newest version of a task's model: of the first repository that has one, there of the one that fits best.

    Raises:
        DataError: no repository has one.
    """
    for repository in models:
        found = [bundle for bundle in _newest(repository) if bundle.manifest.spec.task == task]
        fit = [bundle for bundle in found if bundle.manifest.name not in UNFIT]
        if fit:
            return min(fit, key=lambda bundle: _rank(bundle.manifest.name))
    places = " or ".join(map(str, models))
    raise DataError(f"{places}: expected a bundle for {task} of sentences or tunes, there is none")


def _newest(repository: Path) -> Iterator[OpenedBundle]:
    folders = sorted(path for path in repository.iterdir() if path.is_dir()) if repository.is_dir() else []
    for folder in folders:
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
        if versions:
            yield open_bundle(folder / str(max(versions)))


def _rank(name: str) -> int:
    """Preferred ones in their order, then others that are published, then samples."""
    if name in PREFERRED:
        return PREFERRED.index(name)
    return len(PREFERRED) + name.startswith("sample-")


def _in_precision(bundle: OpenedBundle, precision: Precision, repository: Path) -> Path:
    manifest = bundle.manifest
    target = repository / manifest.name / str(manifest.version)
    repository.mkdir(parents=True, exist_ok=True)
    if manifest.default_precision != precision and WEIGHTS_NAME in manifest.files:
        if not target.exists() or open_bundle(target).manifest.default_precision != precision:
            _remove(target)
            publish_rebuilt(bundle.path, repository, precisions=[precision])
        return target
    _remove(target)
    target.parent.mkdir(exist_ok=True)
    target.mkdir()
    for path in bundle.path.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def _remove(folder: Path) -> None:
    if folder.exists():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _texts(task: Task, bundle: OpenedBundle, data: Path | None) -> tuple[str, list[str]]:
    """Test texts that the model takes, and where they are from."""
    recipe = RECIPES / f"{bundle.manifest.producer.recipe}.toml"
    own = load_recipe(recipe).data.corpus if recipe.exists() else None
    preferred = bundle.manifest.name in PREFERRED
    for name in filter(None, (*CORPORA[task][:preferred], own, *CORPORA[task])):
        try:
            examples = load_corpus(name, data).test
        except DataError:
            continue
        texts = list(dict.fromkeys(filter(None, map(_text, examples))))
        return name, drawn(list(filter(_fitting(bundle), texts)))
    raise DataError(f"no texts for {task}")


def drawn(texts: Sequence[str]) -> list[str]:
    """`MOST_ITEMS` of a corpus' texts, or all, in mixed order: corpora are sorted, some by length, callers are not."""
    return random.Random(0).sample(texts, min(MOST_ITEMS, len(texts)))


def _text(example: object) -> str:
    match example:
        case LabelledText():
            return example.text
        case TextPair():
            return example.source
        case PlainText():
            return example.text[:PROMPT_CHARACTERS]
    return ""


def _fitting(bundle: OpenedBundle) -> Callable[[str], bool]:
    """Tells whether the model takes a text."""
    spec = bundle.manifest.spec
    file = getattr(spec, "source", None) or getattr(spec, "text", None)
    limit = getattr(spec, "max_token_count", None)
    if file is None:
        return lambda text: False
    tokenizer = Tokenizer.from_bytes(bundle.files[file.tokenizer])
    return lambda text: 0 < len(tokenizer.encode(text)) < (math.inf if limit is None else limit)


def _answered(folder: Path, texts: list[str], token_count: int | None) -> list[Item]:
    """What the graphs answer to each text alone, and in how many tokens."""
    model = load(folder, token_count=token_count)
    return [Item(text, *model.answers([text])[0]) for text in texts]
