"""The card's section on training: by which recipe, when, by which code and on what; and when it was exported."""

from service.bundle.manifest import Manifest
from training.data.load import SAMPLES
from training.export.sections.record import RunRecord, duration
from training.preparation.provenance import own_recipe, source_commit
from training.run.checkpoint import Beginning, Checkpoint
from training.run.machine import describe_threads
from training.settings.recipe import Recipe, load_recipe

_UNKNOWN = "not recorded"


def describe_training(manifest: Manifest, record: RunRecord) -> str:
    """Return the section's text. Nothing of the export stands in for what the run did not write down."""
    producer = manifest.producer
    return "\n".join(
        [
            f"- Recipe `{producer.recipe}`, seed {producer.seed}",
            f"- SHA-256 of recipe and data: `{producer.recipe_sha256}`",
            f"- {_trained(record.checkpoint, record.recipe)}",
            f"- {duration(record.checkpoint.epochs)}, validation included",
            *(
                f"- Before that, `{begun.name}` {begun.version}: {_trained(checkpoint, begun)}"
                for begun, checkpoint in record.pretraining
            ),
            f"- Exported on {manifest.created_time} at commit {source_commit()}, with PyTorch {producer.torch}",
            f"- Command `{_command(record.recipe)}`",
            *_reading(record.recipe),
        ]
    )


def is_own(recipe: Recipe) -> bool:
    """Whether a recipe of this name and version comes with the project."""
    return own_recipe(recipe.name, recipe.version) is not None


def _trained(checkpoint: Checkpoint, recipe: Recipe) -> str:
    conditions, device = checkpoint.conditions, checkpoint.conditions.get("device", "CPU")
    begun = checkpoint.beginning or Beginning(
        f"(date {_UNKNOWN})",
        f"({_UNKNOWN})",
        f"(machine {_UNKNOWN})" if device == "CPU" else device,  # a GPU is told by its name
    )
    threads = conditions.get("threads")
    facts = [
        begun.machine,
        describe_threads(int(threads)) if threads else f"threads {_UNKNOWN}",
        recipe.training.precision,
        f"PyTorch {conditions.get('torch', _UNKNOWN)}",
    ]
    return f"Trained on {begun.time} at commit {begun.commit}, on {', '.join(facts)}"


def _command(recipe: Recipe) -> str:
    """What makes the bundle anew; a recipe of the project is named by its place, the others by their file.

    With another seed than the recipe's own, it says which, and that the bundle goes elsewhere: both are one version.
    """
    own = own_recipe(recipe.name, recipe.version)
    path = f"{recipe.name}.toml" if own is None else f"training/recipes/{own.name}"
    needs_data = recipe.data.corpus is not None and recipe.data.corpus not in SAMPLES
    reseeded = own is not None and load_recipe(own).seed != recipe.seed
    seed = f" --seed {recipe.seed} --models ELSEWHERE" if reseeded else ""
    return f"{'SEQSERVE_DATA=DIR ' if needs_data else ''}python -m training train {path}{seed}"


def _reading(recipe: Recipe) -> list[str]:
    """How long texts were read, where a recipe says."""
    if recipe.windows is None:
        return []
    rows = recipe.training.batch_tokens // recipe.windows.token_count
    order = "in their order" if recipe.windows.continuous else "in another order in each epoch"
    return [
        f"- Texts joined {order} and read in {rows} rows side by side; gradients over windows of "
        f"{recipe.windows.token_count} tokens, the state carried from window to window"
    ]
