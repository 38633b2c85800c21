"""The model card: what a bundle is, what it was made from, what it reaches and where it fails.   Plain Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from service.bundle.manifest import Classification, Labelling, Manifest
from service.bundle.store import WEIGHTS_NAME
from training.data.examples import AnySplits
from training.data.load import SAMPLES
from training.evaluation.evaluate import Evaluations
from training.export.bundle import Draft
from training.export.origins import describe_terms, origin_of
from training.preparation.provenance import data_sha256, source_commit
from training.run.checkpoint import Epoch
from training.run.machine import describe_machine
from training.scoring.scores import Evaluation, Score
from training.settings.recipe import Recipe, Task

_PURPOSE: Mapping[Task, str] = MappingProxyType(
    {
        "classification": "Many to one: reads a text and gives each label a probability.",
        "generation": "One to many: goes on from a beginning, token after token.",
        "labelling": "Many to many, aligned: gives each step of a sequence a label.",
        "translation": "Many to many: an encoder reads a sentence, a decoder writes its translation.",
    }
)

TERMS = "Licence and attribution"
"""Title of the section of that."""
_MEASURED = (
    "Differences are absolute, the largest of all outputs over the golden runs, from PyTorch in float32, met at export."
)
_EMULATED = (
    "fp16 is for CUDA. What is said of it here was met on a CPU, which computes it in float32 with conversions in "
    "between; it has not been run on a GPU."
)
_LIMITS = (
    "It knows what its corpus shows: other subjects, longer texts and rare words are answered badly, with confidence."
)
_TASK_LIMITS: Mapping[Task, str] = MappingProxyType(
    {
        "classification": "Every text gets one of its {labels} labels, also one that has nothing to do with them. It "
        "takes at most {tokens} tokens.",
        "generation": "It goes on with a text and does nothing else; what it states is made up. It takes a beginning "
        "of at most {tokens} tokens.",
        "labelling": "Every step gets one of its {labels} labels. It takes at most {tokens} steps at once.",
        "translation": "It translates a sentence at a time, of at most {tokens} tokens, and knows nothing of the one "
        "before. Whatever it is given it takes for its source language.",
    }
)


def write_card(
    draft: Draft,
    recipe: Recipe,
    splits: AnySplits,
    epochs: tuple[Epoch, ...],
    evaluations: Evaluations,
    pretraining: Sequence[tuple[Recipe, tuple[Epoch, ...]]] = (),
) -> str:
    """Return the text of `MODEL_CARD.md`, with the scores of every variant, the default first.

    Args:
        draft: the bundle.
        recipe: it was trained by.
        splits: the recipe's examples.
        epochs: of its training.
        evaluations: of its variants.
        pretraining: recipe and epochs of the models that it begins from, the nearest first.
    """
    manifest, corpora = draft.manifest, [one.data.corpus for one in (recipe, *(begun for begun, _ in pretraining))]
    sections = [
        f"# {manifest.name} {manifest.version}\n\n{_PURPOSE[recipe.task]}",
        f"## Model\n\n{_model(manifest)}",
        f"## Data\n\n{_data(recipe, splits, pretraining)}",
        f"## Training\n\n{_training(manifest, recipe, epochs)}",
        f"## {TERMS}\n\n{describe_terms(corpora)}",
        f"## Scores\n\n{_scores(evaluations)}{_reported(recipe)}",
        f"## Variants\n\n{describe_variants(draft, recipe.export.weights)}",
        f"## Limits\n\n{describe_limits(manifest, corpora)}",
        f"## Known failures\n\n{_failures(next(iter(evaluations.values())))}",
        f"## Recipe\n\n```json\n{recipe.model_dump_json(indent=2)}\n```",
    ]
    return "\n\n".join(sections) + "\n"


_BEGUN: Mapping[Task, str] = MappingProxyType(
    {"generation": "language model", "classification": "classifier", "labelling": "tagger", "translation": "translator"}
)
"""What another model can begin from, by its recipe's task."""
_OPTIONS = (
    "residual",
    "layer_norm",
    "input_feeding",
    "scale_attention",
    "scale_embeddings",
    "tie_weights",
    "share_embeddings",
)
"""What an architecture can have beside its sizes."""


def _model(manifest: Manifest) -> str:
    architecture = manifest.architecture
    facts = [
        f"{architecture.cell.upper()}, {architecture.layers} layer{'s' if architecture.layers > 1 else ''}",
        "both directions" if architecture.bidirectional else "one direction",
        f"embedding {architecture.embedding_size}, hidden {architecture.hidden_size}",
        f"attention {architecture.attention}" if architecture.attention else "no attention",
        *(name.replace("_", " ") for name in _OPTIONS if getattr(architecture, name)),
        f"{architecture.parameter_count:,} parameters",
    ]
    return ", ".join(facts) + "."


def _data(recipe: Recipe, splits: AnySplits, pretraining: Sequence[tuple[Recipe, tuple[Epoch, ...]]] = ()) -> str:
    counts = f"{len(splits.training):,} / {len(splits.validation):,} / {len(splits.test):,}"
    lines = [
        f"- {_origin(recipe)}",
        f"- Training / validation / test examples: {counts}; {_repeated(splits)}",
        f"- SHA-256 of all examples: `{data_sha256(splits)}`",
        *(
            f"- Begins from the {_BEGUN[one.task]} of recipe `{one.name}`, {_duration(its_epochs)}. {_origin(one)}"
            for one, its_epochs in pretraining
        ),
    ]
    if recipe.data.shuffle_labels:
        lines.append("- **Labels were shuffled: this is a negative control and has learnt nothing true.**")
    return "\n".join(lines)


def _origin(recipe: Recipe) -> str:
    what = origin_of(recipe.data.corpus).what
    return what if recipe.data.corpus is None else f"Corpus `{recipe.data.corpus}`: {what}"


def _repeated(splits: AnySplits) -> str:
    trained = set(splits.training)
    count = sum(example in trained for example in (*splits.validation, *splits.test))
    return (
        f"{count:,} of the latter two are among the first as well" if count else "no trained example is in the others"
    )


def _training(manifest: Manifest, recipe: Recipe, epochs: tuple[Epoch, ...]) -> str:
    producer = manifest.producer
    return "\n".join(
        [
            f"- Recipe `{producer.recipe}`, seed {producer.seed}",
            f"- SHA-256 of recipe and data: `{producer.recipe_sha256}`",
            f"- Source commit {source_commit()}",
            f"- PyTorch {producer.torch}, {manifest.created_time}",
            f"- {_duration(epochs)}, validation included, on {describe_machine(recipe.training)}",
            f"- Command `{_command(recipe)}`",
            *_reading(recipe),
        ]
    )


def _duration(epochs: Sequence[Epoch]) -> str:
    return f"{len(epochs)} epochs in {sum(epoch.seconds for epoch in epochs):.0f} s"


def _command(recipe: Recipe) -> str:
    """What makes the bundle anew; a recipe of the project is named by its place, the others by their file."""
    own = f"training/recipes/{recipe.name}.toml"
    path = own if (Path(__file__).parents[2] / own).is_file() else f"{recipe.name}.toml"
    needs_data = recipe.data.corpus is not None and recipe.data.corpus not in SAMPLES
    return f"{'SEQSERVE_DATA=DIR ' if needs_data else ''}python -m training train {path}"


def _reading(recipe: Recipe) -> list[str]:
    """How long texts were read, where a recipe says."""
    if recipe.windows is None:
        return []
    rows = recipe.training.batch_tokens // recipe.windows.token_count
    order = "in their order" if recipe.windows.continuous else "in another order in each epoch"
    return [
        f"- Texts joined {order} and read in {rows} rows side by side; gradients over windows of "
        f"{recipe.windows.token_count} tokens, the state carried from window to window"
    ]


def _scores(evaluations: Evaluations) -> str:
    rows = ["| measure | variant | value | how |", "|---|---|---|---|"]
    for precision, evaluation in evaluations.items():
        rows += [_score_row(score, precision) for score in (evaluation.score, *evaluation.further)]
    default = next(iter(evaluations.values()))
    rows += [_score_row(score, "none") for score in (default.baseline, *default.other_baselines)]
    return "\n".join(rows) + "\n\nOn the test examples, measured on this bundle through the service's own engine."


def _reported(recipe: Recipe) -> str:
    """What others say they reach, where the recipe tells it."""
    lines = "".join(f"\n- {line}" for line in recipe.evaluation.reported)
    return f"\n\nReported by others, as their papers have it and not checked here:\n{lines}" if lines else ""


def _score_row(score: Score, variant: str) -> str:
    method = score.method.replace("|", "\\|")  # sacrebleu's signature has bars; so have tables
    return f"| {score.name} | {variant} | {score.shown} | {method} |"


def describe_variants(draft: Draft, weights: str) -> str:
    """Return size and proof of each variant's graphs, and what is stored beside them; `weights` as in [export]."""
    manifest = draft.manifest
    rows = ["| variant | graph | bytes | proven against | largest difference from PyTorch |", "|---|---|---|---|---|"]
    for precision, variant in manifest.variants.items():
        name = f"{precision} (default)" if precision == manifest.default_precision else precision
        against = "PyTorch" if variant.golden.reference == "pytorch" else "its own run at export"
        for role, graph in variant.graphs.items():
            size, difference = manifest.files[graph.file].size_bytes, draft.differences[precision][role]
            rows.append(f"| {name} | {role} | {size:,} | {against} | {difference:.2g} |")
    return "\n\n".join(["\n".join(rows), _MEASURED, *_remarks(manifest, weights)])


def _remarks(manifest: Manifest, weights: str) -> list[str]:
    remarks = []
    if "fp16" in manifest.variants:
        remarks.append(_EMULATED)
    if weights != "none":
        size = manifest.files[WEIGHTS_NAME].size_bytes
        remarks.append(f"`{WEIGHTS_NAME}` holds the weights in {weights}, {size:,} bytes.")
    if weights == "fp16":
        remarks.append("They were rounded before anything was exported: every variant is of the rounded weights.")
    return remarks


def describe_limits(manifest: Manifest, corpora: Sequence[str | None]) -> str:
    """Return what a model of these corpora, the first its own, cannot be asked."""
    spec = manifest.spec
    labels = len(spec.labels) if isinstance(spec, Classification | Labelling) else 0
    of_task = _TASK_LIMITS[spec.task].format(labels=labels, tokens=f"{spec.max_token_count:,}")
    return "\n\n".join(filter(None, [origin_of(corpora[0]).limits, of_task, _LIMITS]))


def _failures(evaluation: Evaluation) -> str:
    if not evaluation.failures:
        return "None was singled out."
    return "\n".join(f"- {failure}" for failure in evaluation.failures)
