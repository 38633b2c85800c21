"""Tables of the published models on pages that people write, between markers.   Measures nothing.

`<!-- models: begin -->` and `<!-- models: end -->` enclose the table of what each model does and reaches, `licences`
in their place that of the licence of its data, and whom to credit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from service.bundle.manifest import Translation
from service.bundle.store import CARD_NAME
from training.comparison.page import PublishedModel

REPOSITORY = "bundles"
"""Where this project's published models are, relative to its root."""


def fill_pages(pages: Sequence[Path], models: Sequence[PublishedModel]) -> list[Path]:
    """Write the tables of every page that is there, and return those pages."""
    there = [page for page in pages if page.is_file()]
    for page in there:
        page.write_text(filled(page.read_text(), models, within=page.parent.name == REPOSITORY))
    return there


def filled(page: str, models: Sequence[PublishedModel], *, within: bool) -> str:
    """Write the tables anew that a page has markers for.

    Args:
        page: its text.
        models: in the order of the rows.
        within: whether the page is in the repository of the models, for links to their cards.
    """
    folder = "" if within else f"{REPOSITORY}/"
    for name, table in _TABLES.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        before, marker, rest = page.partition(begin)
        if marker:
            page = f"{before}{begin}{table(models, folder)}{end}{rest.partition(end)[2]}"
    return page


def _models_table(models: Sequence[PublishedModel], folder: str) -> str:
    rows = (
        [
            _link(model, folder),
            f"{_task(model)}: {model.learnt_from}",
            " ".join(model.trained.score),
            "; ".join(f"{name} {value}" for name, value in model.trained.baselines),
            f"{model.trained.size_bytes / 1e6:.1f}",
        ]
        for model in models
    )
    return _markdown(("model", "task, and what it was learnt from", "score", "without a network", "MB"), rows)


def _licences_table(models: Sequence[PublishedModel], folder: str) -> str:
    rows = (
        [_link(model, folder), f"`{corpus}`", licence, credit]
        for model in models
        for corpus, licence, credit in model.licences
    )
    return _markdown(("model", "learnt from", "its licence", "credit"), rows)


_TABLES: Mapping[str, Callable[[Sequence[PublishedModel], str], str]] = MappingProxyType(
    {"models": _models_table, "licences": _licences_table}
)


def _link(model: PublishedModel, folder: str) -> str:
    name, version = model.manifest.name, model.manifest.version
    return f"[`{name}`]({folder}{name}/{version}/{CARD_NAME})"


def _task(model: PublishedModel) -> str:
    spec = model.manifest.spec
    if isinstance(spec, Translation) and spec.source.language and spec.target.language:
        return f"{spec.task}, {spec.source.language} to {spec.target.language}"
    return spec.task


def _markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
