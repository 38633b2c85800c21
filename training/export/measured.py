"""A published bundle with another card: what was measured just now, in place of what the old card says of that.

Nothing is exported: graphs, weights and recorded runs are the bundle's own, byte for byte.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.bundle.store import CARD_NAME, OpenedBundle
from training.data.examples import AnySplits
from training.evaluation.evaluate import Evaluations
from training.export.bundle import Draft
from training.export.card import describe_recipe
from training.export.rebuild import ANEW
from training.export.sections.data import PARTS, describe_parts
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

    Of the old card stays what was not measured: training, variants, licence, limits.

    Raises:
        ExportError: the repository has the version already, or cannot be written.
    """
    names = (name for name in bundle.manifest.files if name != CARD_NAME)
    files = {name: (bundle.path / name).read_bytes() for name in names}
    card = with_measurements(bundle.files[CARD_NAME].decode(), measured)
    return Draft(bundle.manifest, files, {}).publish(card, repository)


def with_measurements(card: str, measured: Measured) -> str:
    """Return a card that tells anew of scores and failures, of what the parts of the data share, and of the recipe."""
    head, sections = split_card(card)
    return join_card(head, [_anew(one, measured) for one in sections])


def _anew(section: Section, measured: Measured) -> Section:
    recipe, evaluations = measured.recipe, measured.evaluations
    match section.title.partition(" of ")[0]:  # "Scores of NAME@VERSION" were those of the bundle before
        case "Scores":
            return Section("Scores", describe_scores(recipe, evaluations, measured.other_runs))
        case "Known failures":
            return section._replace(body=describe_failures(recipe, next(iter(evaluations.values()))))
        case "Data":
            parts = describe_parts(measured.splits)
            return section._replace(body=_PARTS.sub(lambda _: parts, section.body))
        case "Recipe":
            return section._replace(body=describe_recipe(recipe))
        case title if title == ANEW:
            return section._replace(body=_OF_ANOTHER.sub("", section.body))
    return section
