"""What was run and what it came to: facts, curves, scores, recipe."""

import os
import platform
from importlib.metadata import version

from training.preparation.provenance import source_commit
from training.reporting.charts import draw_curves
from training.reporting.document import Picture, Section, Table, Text
from training.reporting.findings import Findings

_PERCENTAGES = ("accuracy", "span F1")
_PACKAGES = ("torch", "onnx", "onnxruntime", "tokenizers", "numpy")


def facts_section(findings: Findings) -> Section:
    """How long it took, on what, with which versions."""
    outcome, manifest, splits = findings.outcome, findings.bundle.manifest, findings.splits
    architecture, unit = manifest.architecture, f"{findings.step_name}s"
    token_count = sum(epoch.token_count for epoch in outcome.epochs)
    training_seconds = outcome.seconds - sum(epoch.validation_seconds for epoch in outcome.epochs)
    run = [
        ("task", findings.recipe.task),
        ("data", findings.recipe.data.origin),
        ("training examples", f"{len(splits.training):,}, of which all epochs read {token_count:,} {unit}"),
        ("validation, test examples", f"{len(splits.validation):,}, {len(splits.test):,}"),
        ("model", f"{architecture.cell.upper()}, {architecture.parameter_count:,} parameters"),
        ("epochs", f"{len(outcome.epochs)}; the weights after {findings.best_epoch:.3g} of them were kept"),
        ("duration", f"{training_seconds:.1f} s of training, {outcome.seconds:.1f} s with validation"),
        ("speed", f"{token_count / training_seconds:,.0f} {unit}/s in training, padding left out"),
        (
            "waiting for data",
            f"{sum(epoch.data_seconds for epoch in outcome.epochs) / training_seconds:.1%} of training",
        ),
        ("seed", str(findings.recipe.seed)),
        ("SHA-256 of recipe and data", manifest.producer.recipe_sha256),
    ]
    return Section("Run", [Table("the run", ("", ""), run), _machine(findings.recipe.training.threads)])


def curves_section(findings: Findings) -> Section:
    """Loss and metric by epoch, as a picture and as numbers."""
    outcome, name = findings.outcome, findings.task.metric
    metric = f"validation {name} (%)" if name in _PERCENTAGES else f"validation {name}"
    better = "higher" if findings.task.higher_is_better else "lower"
    caption = (
        f"Left: the loss that training minimises, mean over each epoch, in nats; it should fall. Right: the {metric}, "
        f"{better} is better. Where the loss still falls while the metric gets worse, the model learns its examples by "
        "heart; the weights of the best epoch are the ones that were exported."
    )
    picture = draw_curves(outcome.epochs, best=findings.best_epoch, metric=metric)
    rows = [
        (f"{epoch.number}", f"{epoch.loss:.4f}", f"{epoch.value:#.4g}", f"{epoch.seconds:.1f}")
        for epoch in outcome.epochs
    ]
    table = Table("epochs", ("epoch", "training loss (nats)", metric, "seconds"), rows)
    return Section("Curves", [Picture("loss and metric by epoch", caption, picture), table])


def scores_section(findings: Findings) -> Section:
    """Scores of every variant on the test examples, beside what needs no network."""
    rows: list[tuple[str, ...]] = [
        (score.name, precision, score.shown, score.method)
        for precision, evaluation in findings.evaluations.items()
        for score in (evaluation.score, *evaluation.further)
    ]
    baselines = (findings.evaluation.baseline, *findings.evaluation.other_baselines)
    rows += [(score.name, "baseline", score.shown, score.method) for score in baselines]
    caption = "On the test examples, measured on the exported bundle through the service's own engine."
    return Section("Scores", [Table("test scores", ("measure", "variant", "value", "how"), rows, caption)])


def recipe_section(findings: Findings) -> Section:
    """The recipe, every default written out."""
    return Section("Recipe", [Text(findings.recipe.model_dump_json(indent=2), preformatted=True)])


def _machine(threads: int) -> Table:
    rows = [
        ("platform", platform.platform()),
        ("processor", platform.machine()),
        ("cores", f"{os.cpu_count()}; threads of training: {threads}"),
        ("Python", platform.python_version()),
        *((package, version(package)) for package in _PACKAGES),
        ("source commit", source_commit()),
    ]
    caption = "Of the machine that wrote this report, which is the one that trained unless the report was written anew."
    return Table("the machine", ("", ""), rows, caption)
