"""Writes the report of a run: puts its sections together, in the order in which one reads them."""

from datetime import datetime
from pathlib import Path

from training.errors import TrackingError
from training.reporting.document import Report, Section
from training.reporting.findings import Findings
from training.reporting.html import render
from training.reporting.sections.generation import generation_sections
from training.reporting.sections.labels import label_sections
from training.reporting.sections.lengths import lengths_section
from training.reporting.sections.memory import memory_section
from training.reporting.sections.run import curves_section, facts_section, recipe_section, scores_section
from training.reporting.sections.translation import translation_sections
from training.scoring.answers import LabelAnswers, LikelihoodAnswers, TranslationAnswers

REPORT_NAME = "report.html"


def write_report(findings: Findings, folder: Path, *, written: datetime, example: str | None = None) -> Path:
    """Write `report.html` into a run's folder and return its path.

    Args:
        findings: what it is made from: the same findings, the same bytes but for `written`.
        folder: of the run.
        written: when, said in the footer.
        example: the text whose gates are drawn; None takes one of the test examples.

    Raises:
        DataError: the example has no tokens.
        TrackingError: the file cannot be written.
    """
    page = render(build_report(findings, written=written, example=example))
    return write_whole(folder / REPORT_NAME, page.encode())


def write_whole(path: Path, raw: bytes) -> Path:
    """Write a file that appears whole or not at all, and return its path.

    Raises:
        TrackingError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(raw)
        return temporary.replace(path)
    except OSError as error:
        raise TrackingError(f"{path}: cannot be written: {error.strerror or error}") from error


def build_report(findings: Findings, *, written: datetime, example: str | None = None) -> Report:
    """Return the report that `write_report` writes."""
    manifest, score = findings.bundle.manifest, findings.evaluation.score
    sections = [
        facts_section(findings),
        scores_section(findings),
        curves_section(findings),
        lengths_section(findings),
        *_task_sections(findings),
        memory_section(findings, example),
        recipe_section(findings),
    ]
    title = f"{manifest.name} {manifest.version}"
    return Report(
        title, f"{findings.recipe.task}: {score}", sections, f"Written {written.isoformat(timespec='seconds')}."
    )


def _task_sections(findings: Findings) -> list[Section]:
    match findings.evaluation.answers:
        case LabelAnswers() as answers:
            return label_sections(answers)
        case LikelihoodAnswers() as answers:
            return generation_sections(findings, answers)
        case TranslationAnswers() as answers:
            return translation_sections(findings, answers)
