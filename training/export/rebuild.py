"""Exports a bundle anew from the weights that it carries: without the run that made it, and without its data."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast, get_args

from service.bundle.manifest import Manifest, Precision, text_specs
from service.bundle.store import CARD_NAME, WEIGHTS_NAME, OpenedBundle, open_bundle
from training.errors import ExportError
from training.export.bundle import Draft, Release, draft_release, exported_with, made_now
from training.export.card import TERMS, describe_limits, describe_variants, notes_of
from training.export.origins import describe_terms
from training.export.sections.data import corpora_of, reword_data
from training.export.sections.parts import Section, join_card, split_card
from training.export.trained import TrainedModel
from training.export.weights import StoredWeights, read_weights
from training.settings.recipe import ExportSettings

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_OLD_TITLES = {"Terms": TERMS}
ANEW = "Exported anew"
"""Title of the section on what is of another bundle."""


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

    Golden runs are made anew. Scores are the ones in the old card; where the graphs are not the very same, they are
    said to be of the old bundle. What a card says of licences and limits is worded anew.

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
    """The old card, but for what follows from the manifest and the names of the corpora: that is worded anew.

    Where a graph is another, a section says what is of the old bundle, and the scores are said to be that one's.
    """
    head, old_sections = split_card(parent.files[CARD_NAME].decode())
    _, _, purpose = head.partition("\n")
    manifest, old = draft.manifest, f"{parent.manifest.name}@{parent.manifest.version}"
    renamed = [one._replace(title=_OLD_TITLES.get(one.title, one.title)) for one in old_sections]
    sections = _reworded(renamed, draft, export)
    if not _same_graphs(parent, draft):
        anew = Section(ANEW, _origin(parent, manifest, sections))
        sections = [
            anew,
            *(one._replace(title=f"Scores of {old}") if one.title == "Scores" else one for one in sections),
        ]
    return join_card(f"# {manifest.name} {manifest.version}\n{purpose}".rstrip(), sections)


def _reworded(sections: list[Section], draft: Draft, export: ExportSettings) -> list[Section]:
    """The sections in their order, those without a measurement as this version of the project words them."""
    data, recipe = (next((one.body for one in sections if one.title == title), "") for title in ("Data", "Recipe"))
    corpora = corpora_of(data)
    if TERMS not in {one.title for one in sections}:
        place = next((index for index, one in enumerate(sections) if one.title.startswith("Scores")), len(sections))
        sections.insert(place, Section(TERMS, ""))
    bodies = {
        "Data": reword_data(data),
        TERMS: describe_terms(corpora),
        "Variants": describe_variants(draft, export.weights),
        "Limits": describe_limits(draft.manifest, corpora, notes_of(recipe)),
    }
    return [Section(one.title, bodies.get(one.title, one.body)) for one in sections]


def _same_graphs(parent: OpenedBundle, draft: Draft) -> bool:
    """Whether what was exported is the old bundle, byte for byte, but for its card and its recorded runs."""
    recorded = {variant.golden.file for variant in draft.manifest.variants.values()}
    names = {CARD_NAME, *recorded}
    old, new = (
        {name: entry for name, entry in manifest.files.items() if name not in names}
        for manifest in (parent.manifest, draft.manifest)
    )
    return old == new


def _origin(parent: OpenedBundle, manifest: Manifest, sections: Sequence[Section]) -> str:
    """Say what was made anew, and of which bundle the scores are: of the parent, or of one before it."""
    producer, old = manifest.producer, f"{parent.manifest.name}@{parent.manifest.version}"
    scores = next((one for one in sections if one.title.startswith("Scores")), Section("Scores", ""))
    measured = scores.title.removeprefix("Scores of ") if scores.title != "Scores" else old
    lines = [
        f"- From the weights in {old}, SHA-256 of its manifest `{parent.digest}`",
        f"- By seqserve {producer.seqserve}, PyTorch {producer.torch}, {manifest.created_time}",
        f"- No data was read: golden runs were made anew; scores and failures below are those of {measured}",
    ]
    unmeasured = [precision for precision in manifest.variants if f" | {precision} | " not in scores.body]
    if unmeasured:
        lines.append(f"- Not measured: {', '.join(unmeasured)}")
    return "\n".join(lines)
