"""A published bundle with another card: what was measured just now, in place of what the old card says of that.

Nothing is exported: graphs, weights and recorded runs are the bundle's own, byte for byte.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.bundle.manifest import Manifest
from service.bundle.store import CARD_NAME, OpenedBundle
from training.data.examples import AnySplits
from training.evaluation.evaluate import Evaluations
from training.export.bundle import Draft
from training.export.card import TERMS, describe_limits, describe_recipe
from training.export.origins import describe_terms
from training.export.rebuild import ANEW
from training.export.sections.data import PARTS, corpora_of, describe_parts, reword_data
from training.export.sections.parts import Section, join_card, split_card
from training.export.sections.scores import OtherRun, describe_failures, describe_scores
from training.settings.recipe import Recipe

_PARTS = re.compile(f"^{re.escape(PARTS)}.*$", re.MULTILINE)
_OF_ANOTHER = re.compile(r"; scores and failures below are those of .*|\n- Not measured: .*")


@dataclass(frozen=True)
class Measured:
    """What was found out about a bundle.

    Attributes:
        recipe: it was made by, with its own seed.
        splits: the recipe's examples, whole; the very ones that it was made from.
        evaluations: of its variants, the default first.
        other_runs: of the same recipe, every one that is on record.
    """

    recipe: Recipe
    splits: AnySplits
    evaluations: Evaluations
    other_runs: Sequence[OtherRun]


def publish_measured(bundle: OpenedBundle, measured: Measured, repository: Path) -> Path:
    """Publish a bundle into another repository, its card telling these scores; returns the new folder.

    Of the old card stays what was not measured: training, variants.

    Raises:
        ExportError: the repository has the version already, or cannot be written.
    """
    names = (name for name in bundle.manifest.files if name != CARD_NAME)
    files = {name: (bundle.path / name).read_bytes() for name in names}
    card = with_measurements(bundle.files[CARD_NAME].decode(), bundle.manifest, measured)
    return Draft(bundle.manifest, files, {}).publish(card, repository)


def with_measurements(card: str, manifest: Manifest, measured: Measured) -> str:
    """Return a card that tells anew of scores and failures, of splits and licences, of limits, and of the recipe."""
    head, sections = split_card(card)
    corpora = corpora_of(next((one.body for one in sections if one.title == "Data"), ""))
    of_corpora = {
        "Limits": describe_limits(manifest, corpora, measured.recipe.evaluation.notes),
        TERMS: describe_terms(corpora),
    }
    return join_card(head, [_anew(one, measured, of_corpora) for one in sections])


def _anew(section: Section, measured: Measured, of_corpora: Mapping[str, str]) -> Section:
    recipe, evaluations = measured.recipe, measured.evaluations
    title, body = section
    match title.partition(" of ")[0]:  # "Scores of NAME@VERSION" were those of the bundle before
        case "Scores":
            title, body = "Scores", describe_scores(recipe, evaluations, measured.other_runs)
        case "Known failures":
            body = describe_failures(recipe, next(iter(evaluations.values())))
        case "Data":
            parts = describe_parts(measured.splits)
            body = _PARTS.sub(lambda _: parts, reword_data(body))
        case known if known in of_corpora:
            body = of_corpora[known]
        case "Recipe":
            body = describe_recipe(recipe)
        case _ if title == ANEW:
            body = _OF_ANOTHER.sub("", body)
    return Section(title, body)
