"""The model card: what a bundle is, what it was made from, what it reaches and where it fails.   Plain Markdown."""

import json
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from service.bundle.manifest import Classification, Labelling, Manifest
from service.bundle.store import WEIGHTS_NAME
from training.evaluation.evaluate import Evaluations
from training.export.bundle import Draft
from training.export.origins import describe_terms, origin_of
from training.export.sections.data import describe_data
from training.export.sections.record import RunRecord
from training.export.sections.scores import describe_failures, describe_scores
from training.export.sections.training import describe_training
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


def write_card(draft: Draft, record: RunRecord, evaluations: Evaluations) -> str:
    """Return the text of `MODEL_CARD.md`.

    Args:
        draft: the bundle.
        record: of the run that it was trained in.
        evaluations: of its variants, the default first.
    """
    manifest, recipe = draft.manifest, record.recipe
    sections = [
        f"# {manifest.name} {manifest.version}\n\n{_PURPOSE[recipe.task]}",
        f"## Model\n\n{_model(manifest)}",
        f"## Data\n\n{describe_data(record)}",
        f"## Training\n\n{describe_training(manifest, record)}",
        f"## {TERMS}\n\n{describe_terms(record.corpora)}",
        f"## Scores\n\n{describe_scores(recipe, evaluations)}",
        f"## Variants\n\n{describe_variants(draft, recipe.export.weights)}",
        f"## Limits\n\n{describe_limits(manifest, record.corpora, recipe.evaluation.notes)}",
        f"## Known failures\n\n{describe_failures(recipe, next(iter(evaluations.values())))}",
        f"## Recipe\n\n{describe_recipe(recipe)}",
    ]
    return "\n\n".join(sections) + "\n"


def describe_recipe(recipe: Recipe) -> str:
    """Return a recipe with every default written out."""
    return f"```json\n{recipe.model_dump_json(indent=2)}\n```"


def notes_of(body: str) -> list[str]:
    """Return the notes of the recipe that a section shows; none where it shows no recipe."""
    written = re.search(r"```json\n(.*?)\n```", body, re.DOTALL)
    notes: list[str] = json.loads(written[1]).get("evaluation", {}).get("notes", []) if written else []
    return notes


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


def describe_limits(manifest: Manifest, corpora: Sequence[str | None], notes: Sequence[str] = ()) -> str:
    """Return what a model of these corpora, the first its own, cannot be asked, and what its recipe notes beside."""
    spec = manifest.spec
    labels = len(spec.labels) if isinstance(spec, Classification | Labelling) else 0
    of_task = _TASK_LIMITS[spec.task].format(labels=labels, tokens=f"{spec.max_token_count:,}")
    return "\n\n".join(filter(None, [origin_of(corpora[0]).limits, of_task, _LIMITS, *notes]))
