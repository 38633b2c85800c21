"""`python -m tests.served`: score published bundles through a server, and compare with what their cards say.

It starts one that serves them, or asks one that runs already (`--target`).
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from demo.server import start_server
from seqserve import Client
from service.bundle.store import OpenedBundle, open_bundle
from tests.published import PUBLISHED, newest_published, published_folders
from tests.served.scores import OFFLINE, served_scores
from training.commands.evaluate import recipe_of
from training.comparison.page import PublishedModel
from training.data.load import load_corpus, load_examples
from training.settings.recipe import load_recipe


def main(words: Sequence[str] | None = None) -> int:
    """Print each score beside the card's.

    Args:
        words: of the command; None: those that the process was called with.

    Returns:
        The exit status: 1 where a score is another than the card's.
    """
    names = sorted({folder.parent.name for folder in published_folders()})
    parser = argparse.ArgumentParser(prog="python -m tests.served", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--target", help="HOST:PORT of a server that has them (default: one is started)")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("SEQSERVE_DATA"), help="real corpora (SEQSERVE_DATA)"
    )
    arguments = parser.parse_args(words)
    if unknown := sorted(set(arguments.name) - set(names)):
        parser.error(f"{', '.join(unknown)}: not published; published are {', '.join(names)}")
    if arguments.data is None:
        parser.error("--data or SEQSERVE_DATA: the folder of the real corpora is needed")
    different = 0
    with _server(arguments.target) as target, Client(target) as client:
        for name in arguments.name or names:
            different += _compare(client, open_bundle(newest_published(name)), arguments.data)
    return int(different > 0)


@contextmanager
def _server(target: str | None) -> Iterator[str]:
    if target is not None:
        yield target
        return
    server = start_server(PUBLISHED)
    try:
        yield server.target
    finally:
        server.stop()


def _compare(client: Client, bundle: OpenedBundle, data: Path) -> int:
    """How many scores are not the card's, or only there."""
    manifest, path = bundle.manifest, recipe_of(bundle.manifest)
    recipe = load_recipe(path)
    splits = load_examples(recipe.data, data_folder=data, files_folder=path.parent)
    others = {name: load_corpus(name, data) for name in recipe.evaluation.corpora}
    card = PublishedModel.of(bundle).trained
    said = dict([card.score, *card.further])
    found = served_scores(client, manifest, splits, recipe.evaluation, others)
    for score in found:
        verdict = "as its card has it" if said.get(score.name) == score.shown else f"its card: {said.get(score.name)}"
        _tell(f"{manifest.name}@{manifest.version}: {score.name} {score.shown}, {verdict}")
    for name in sorted(said.keys() & OFFLINE):
        _tell(
            f"{manifest.name}@{manifest.version}: {name}: no method of the service tells it; `training evaluate` does"
        )
    missing = sorted(said.keys() - {score.name for score in found} - OFFLINE)
    for name in missing:
        _tell(f"{manifest.name}@{manifest.version}: {name}: its card has it, and it was not measured")
    return len(missing) + sum(said.get(score.name) != score.shown for score in found)


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
