"""Exports a bundle anew from the weights that it carries: without the run that made it, and without its data."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from service.bundle.manifest import Manifest, Precision, text_specs
from service.bundle.store import CARD_NAME, WEIGHTS_NAME, OpenedBundle, open_bundle
from training.errors import ExportError
from training.export.bundle import Draft, Release, draft_release, exported_with, made_now
from training.export.card import describe_variants
from training.export.trained import TrainedModel
from training.export.weights import StoredWeights, read_weights
from training.settings.recipe import ExportSettings

PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def parse_precisions(text: str) -> list[Precision]:
    """Split `fp32,int8`.

    Raises:
        ExportError: one is unknown, or named twice.
    """
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise ExportError(f"precision {name!r} is unknown: expected some of {','.join(PRECISIONS)}")
        if names.count(name) > 1:
            raise ExportError(f"precision {name!r} is named twice")
    return cast("list[Precision]", names)


def publish_rebuilt(
    folder: Path, repository: Path, *, precisions: Sequence[Precision] | None = None, version: int | None = None
) -> Path:
    """Build the network of a published bundle in PyTorch, export it anew and publish it; returns the new folder.

    Golden runs are made anew. Scores are the ones in the old card, said to be of the old bundle.

    Args:
        folder: of the bundle to start from.
        repository: where to publish.
        precisions: of the new bundle; None: those of the old one.
        version: of the new bundle; None: that of the old one, for another repository.

    Raises:
        BundleError: the bundle is not sound.
        ExportError: it has no weights, they are damaged or of another architecture, or the version is there already.
    """
    parent = open_bundle(folder)
    export = _new_settings(exported_with(parent.manifest, folder), precisions)
    draft = _draft(parent, _stored(parent), export, version)
    return draft.publish(_card(parent, draft, export), repository)


def _stored(bundle: OpenedBundle) -> StoredWeights:
    if WEIGHTS_NAME not in bundle.manifest.files:
        raise ExportError(
            f"{bundle.path}: has no {WEIGHTS_NAME}; a bundle gets them by weights = 'fp16' or 'fp32' in [export]"
        )
    stored = read_weights(bundle.path / WEIGHTS_NAME)
    if stored.spec != bundle.manifest.spec:
        raise ExportError(f"{stored.path}: the weights are of another task or other sizes than the manifest's spec")
    return stored


def _draft(parent: OpenedBundle, stored: StoredWeights, export: ExportSettings, version: int | None) -> Draft:
    manifest = parent.manifest
    tokenizers = {text.tokenizer: parent.files[text.tokenizer] for text in text_specs(manifest.spec)}
    trained = TrainedModel(stored.settings, stored.spec, tokenizers, stored.network())
    producer = manifest.producer.model_copy(update=made_now())
    return draft_release(trained, Release(manifest.name, version or manifest.version, producer), export)


def _new_settings(old: ExportSettings, precisions: Sequence[Precision] | None) -> ExportSettings:
    """The old settings with other precisions; the default stays where it can, else it is the first asked for."""
    if precisions is None:
        return old
    default = old.default if old.default in precisions else precisions[0]
    return old.model_copy(update={"precisions": list(precisions), "default": default})


def _card(parent: OpenedBundle, draft: Draft, export: ExportSettings) -> str:
    """The old card with its variants replaced, and a section that says what is of the old bundle."""
    head, *sections = re.split(r"\n\n(?=## )", parent.files[CARD_NAME].decode().strip())
    _, _, purpose = head.partition("\n")
    manifest, old = draft.manifest, f"{parent.manifest.name}@{parent.manifest.version}"
    scores = next((section for section in sections if section.startswith("## Scores")), "")
    begin = [f"# {manifest.name} {manifest.version}\n{purpose}".rstrip(), _origin(parent, manifest, scores)]
    kept = [section for section in sections if not section.startswith("## Variants\n")]
    measured = [re.sub(r"\A## Scores\n", f"## Scores of {old}\n", section) for section in kept]
    return "\n\n".join([*begin, f"## Variants\n\n{describe_variants(draft, export.weights)}", *measured]) + "\n"


def _origin(parent: OpenedBundle, manifest: Manifest, scores: str) -> str:
    """Say what was made anew, and of which bundle the scores are: of the parent, or of one before it."""
    producer, old = manifest.producer, f"{parent.manifest.name}@{parent.manifest.version}"
    earlier = re.match(r"## Scores of (\S+)\n", scores)
    measured = earlier[1] if earlier else old
    lines = [
        f"- From the weights in {old}, SHA-256 of its manifest `{parent.digest}`",
        f"- By seqserve {producer.seqserve}, PyTorch {producer.torch}, {manifest.created_time}",
        f"- No data was read: golden runs were made anew; scores and failures below are those of {measured}",
    ]
    unmeasured = [precision for precision in manifest.variants if f" | {precision} | " not in scores]
    if unmeasured:
        lines.append(f"- Not measured: {', '.join(unmeasured)}")
    return "\n".join(["## Exported anew\n", *lines])
