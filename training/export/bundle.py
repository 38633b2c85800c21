"""Puts a trained model into a bundle: graphs, tokenizers, proof and manifest; proves it, then publishes it.

A draft exists in memory alone. It is opened as the service opens bundles, so that what is measured is what ships.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import onnx
import torch

from service.bundle.manifest import (
    FORMAT,
    Architecture,
    Classification,
    FeatureInput,
    Generation,
    GraphRole,
    Labelling,
    Manifest,
    Precision,
    Producer,
    TaskSpec,
    TextSpec,
    Translation,
    WordInput,
)
from service.bundle.store import CARD_NAME, WEIGHTS_NAME, OpenedBundle, file_entry, open_bundle, publish_bundle
from service.errors import BundleError
from training.data.encoding.tokenization import BOS_ID, EOS_ID, PAD_ID
from training.errors import ExportError
from training.export.graphs.pooling import TIME_MULTIPLE
from training.export.trained import TrainedModel, rounded_to_float16
from training.export.variants import write_variant
from training.export.weights import stored_precision, write_weights
from training.preparation.prepare import AnyTask
from training.settings.recipe import ExportSettings, Recipe
from training.tasks.base import Text
from training.tasks.classification import ClassificationTask
from training.tasks.generation import GenerationTask
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask

_TOKENIZER, _SOURCE_TOKENIZER, _TARGET_TOKENIZER = "tokenizer.json", "source.tokenizer.json", "target.tokenizer.json"


@dataclass(frozen=True)
class Release:
    """Under which name and number a trained model is published, and what it came from."""

    name: str
    version: int
    producer: Producer


@dataclass(frozen=True)
class Draft:
    """A bundle that is complete but for its card.

    Attributes:
        manifest: lists `files`, and not the card.
        files: their bytes.
        differences: of each precision, how far each graph was from PyTorch at export (`WrittenVariant`).
    """

    manifest: Manifest
    files: Mapping[str, bytes]
    differences: Mapping[Precision, Mapping[GraphRole, float]]

    def opened(self) -> OpenedBundle:
        """Return the draft as if it had been read from a repository."""
        return OpenedBundle(Path("draft"), self.manifest, "0" * 64, self.files)

    def publish(self, card: str, repository: Path) -> Path:
        """Write the bundle with its card into the repository and return its folder.

        Raises:
            ExportError: the version is there already, or the folder cannot be written.
        """
        files = {**self.files, CARD_NAME: card.encode()}
        manifest = self.manifest.model_copy(update={"files": {name: file_entry(raw) for name, raw in files.items()}})
        try:
            repository.mkdir(parents=True, exist_ok=True)
            return publish_bundle(repository, manifest, files)
        except (BundleError, OSError) as error:
            raise ExportError(f"{repository}: cannot publish {manifest.name} {manifest.version}: {error}") from error


def draft_bundle(task: AnyTask, *, run_sha256: str) -> Draft:
    """Write everything but the card of a bundle for a trained task.   Errors as `draft_release`."""
    recipe = task.recipe
    trained = TrainedModel(recipe.model, _spec(task), _tokenizers(task), task.model)
    return draft_release(trained, Release(recipe.name, recipe.version, _producer(recipe, run_sha256)), recipe.export)


def draft_release(trained: TrainedModel, release: Release, export: ExportSettings) -> Draft:
    """Write everything but the card of a bundle. With weights in fp16, every graph is of the rounded weights.

    Raises:
        ExportError: a precision does not fit the weights, or a graph gives something else than PyTorch.
    """
    files = dict(trained.tokenizers)
    if export.weights == "fp16":
        trained = rounded_to_float16(trained)
    if export.weights != "none":
        files[WEIGHTS_NAME] = write_weights(trained, export.weights)
    variants = {precision: write_variant(trained, precision, export.opset) for precision in export.precisions}
    for variant in variants.values():
        files |= variant.files
    manifest = Manifest(
        format=FORMAT,
        name=release.name,
        version=release.version,
        created_time=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        producer=release.producer,
        architecture=_architecture(trained),
        spec=trained.spec,
        default_precision=export.default,
        variants={precision: variant.entry for precision, variant in variants.items()},
        files={name: file_entry(raw) for name, raw in files.items()},
    )
    return Draft(manifest, files, {precision: variant.differences for precision, variant in variants.items()})


def is_published(recipe: Recipe, repository: Path, *, run_sha256: str) -> bool:
    """Return whether the repository holds this recipe's bundle, made from the same recipe and data.

    Raises:
        ExportError: it holds another bundle under this name and version, or a damaged one.
    """
    folder = bundle_folder(recipe, repository)
    if not folder.exists():
        return False
    try:
        found = open_bundle(folder).manifest
    except BundleError as error:
        raise ExportError(f"{folder}: {error.message}; remove it, or raise the version in the recipe") from error
    if found.producer.recipe_sha256 != run_sha256:
        raise ExportError(f"{folder}: made from another recipe or other data; remove it, or raise the recipe's version")
    has, wanted = exported_with(found, folder), recipe.export
    if has != wanted.model_copy(update={"precisions": sorted(wanted.precisions)}):
        raise ExportError(
            f"{folder}: was exported with {has}, [export] wants {wanted}; remove it, or raise the recipe's version"
        )
    return True


def exported_with(manifest: Manifest, folder: Path) -> ExportSettings:
    """Return the settings with which a published bundle was exported, its precisions sorted.

    Raises:
        ExportError: its weights are damaged.
    """
    first = next(iter(manifest.variants.values()))
    return ExportSettings(
        precisions=sorted(manifest.variants),
        default=manifest.default_precision,
        weights=stored_precision(folder / WEIGHTS_NAME) if WEIGHTS_NAME in manifest.files else "none",
        opset=next(iter(first.graphs.values())).opset,
    )


def bundle_folder(recipe: Recipe, repository: Path) -> Path:
    """Return where a recipe's bundle is published."""
    return repository / recipe.name / str(recipe.version)


def _tokenizers(task: AnyTask) -> dict[str, bytes]:
    if isinstance(task, TranslationTask):
        source, target = _tokenizer_names(task)
        return {source: task.source.raw, target: task.target.raw}
    if isinstance(task, LabellingTask):
        return {_TOKENIZER: task.reads.raw} if isinstance(task.reads, Text) else {}
    return {_TOKENIZER: task.text.raw}


def _tokenizer_names(task: TranslationTask) -> tuple[str, str]:
    shared = task.source is task.target
    return (_TOKENIZER, _TOKENIZER) if shared else (_SOURCE_TOKENIZER, _TARGET_TOKENIZER)


def _spec(task: AnyTask) -> TaskSpec:
    data = task.recipe.data
    match task:
        case ClassificationTask():
            text = _text_spec(_TOKENIZER, task.text, data.source_language, begins=False, ends=False)
            state_size = task.model.state_size
            return Classification(
                task="classification",
                text=text,
                labels=list(task.labels),
                max_token_count=data.max_token_count,
                state_size=state_size,
            )
        case GenerationTask():
            return Generation(
                task="generation",
                text=_text_spec(_TOKENIZER, task.text, data.source_language),
                max_token_count=data.max_token_count,
                max_output_token_count=data.max_output_token_count,
                state_size=task.model.state_size,
            )
        case LabellingTask():
            return _labelling_spec(task)
        case TranslationTask():
            return _translation_spec(task)


def _labelling_spec(task: LabellingTask) -> Labelling:
    data, settings = task.recipe.data, task.recipe.labelling
    reads: WordInput | FeatureInput
    if isinstance(task.reads, Text):
        text = _text_spec(_TOKENIZER, task.reads, data.source_language, begins=False, ends=False)
        reads = WordInput(kind="words", text=text, split=settings.split, label_position=settings.label_position)
    else:
        reads = task.reads
    return Labelling(
        task="labelling",
        input=reads,
        labels=list(task.labels),
        scheme=task.scheme,
        max_token_count=data.max_token_count,
        state_size=task.model.state_size,
    )


def _translation_spec(task: TranslationTask) -> Translation:
    data, attention = task.recipe.data, task.model.attention
    source, target = _tokenizer_names(task)
    return Translation(
        task="translation",
        source=_text_spec(source, task.source, data.source_language, begins=False),
        target=_text_spec(target, task.target, data.target_language),
        max_token_count=data.max_token_count,
        max_output_token_count=data.max_output_token_count,
        state_size=task.model.state_size,
        key_size=None if attention is None else attention.key_size,
        value_size=None if attention is None else attention.value_size,
        time_multiple=TIME_MULTIPLE,
    )


def _text_spec(file: str, text: Text, language: str | None, *, begins: bool = True, ends: bool = True) -> TextSpec:
    return TextSpec(
        tokenizer=file,
        vocabulary_size=text.tokenizer.vocabulary_size,
        pad_id=PAD_ID,
        bos_id=BOS_ID if begins else None,
        eos_id=EOS_ID if ends else None,
        language=language,
    )


def _producer(recipe: Recipe, run_sha256: str) -> Producer:
    return Producer(
        **made_now(),
        recipe=recipe.name,
        recipe_sha256=run_sha256,
        seed=recipe.seed,
    )


def made_now() -> dict[str, str]:
    """Return the versions of what writes bundles, as the manifest names them."""
    return {"seqserve": version("seqserve"), "torch": torch.__version__, "onnx": onnx.__version__}


def _architecture(trained: TrainedModel) -> Architecture:
    model = trained.settings
    return Architecture(
        cell=model.cell,
        layers=model.layers,
        bidirectional=model.bidirectional,
        embedding_size=model.embedding_size,
        hidden_size=model.hidden_size,
        attention=model.attention,
        parameter_count=sum(parameter.numel() for parameter in trained.network.parameters()),
        residual=model.residual,
        layer_norm=model.layer_norm,
        input_feeding=model.input_feeding,
        scale_attention=model.scale_attention,
        scale_embeddings=model.scale_embeddings,
        tie_weights=model.tie_weights,
        share_embeddings=model.share_embeddings,
    )
