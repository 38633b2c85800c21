"""Every architecture of [model] from recipe to answer: it trains, resumes, is exported, and the engine runs it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.progress import Progress

from service.bundle.signatures import check_signatures
from service.bundle.store import open_bundle
from training.data.encoding.batches import Batch
from training.data.examples import AnySplits
from training.evaluation.evaluate import evaluate_variants
from training.export.bundle import draft_bundle
from training.preparation.prepare import AnyTask, prepare
from training.run.loop import train
from training.settings.recipe import Recipe
from training.tasks.translation import TranslationTask

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
RUN = "a" * 64
BETWEEN = {"layers": 3, "residual": True, "layer_norm": True}
NOISE = {
    "dropout": 0.1,
    "input_dropout": 0.2,
    "hidden_dropout": 0.1,
    "output_dropout": 0.15,
    "embedding_dropout": 0.1,
    "word_dropout": 0.1,
    "weight_drop": 0.2,
}
TIED = {"scale_embeddings": True, "tie_weights": True}
ONE_TABLE = {**TIED, "share_embeddings": True}
FED = {"attention": "general", "scale_attention": True, "input_feeding": True}
ARCHITECTURES = [
    pytest.param("classification", {**BETWEEN, **NOISE}, id="classifier, all between layers, all dropouts"),
    pytest.param("classification", {**BETWEEN, **NOISE, "bidirectional": True, "cell": "gru"}, id="both directions"),
    pytest.param("labelling", {**BETWEEN, **NOISE}, id="labeller of words"),
    pytest.param("readings", {**BETWEEN, "dropout": 0.1, "weight_drop": 0.2, "bidirectional": True}, id="of readings"),
    pytest.param(
        "generation", {**BETWEEN, **NOISE, "scale_embeddings": True, "tie_weights": True}, id="language model"
    ),
    pytest.param("translation", NOISE, id="translator without attention"),
    pytest.param("translation", {**NOISE, "cell": "rnn", "bidirectional": True}, id="the same, both directions, rnn"),
    pytest.param("translation", {**NOISE, "attention": "dot", "bidirectional": True}, id="dot, both directions"),
    pytest.param("translation", {**BETWEEN, **NOISE, **FED, **ONE_TABLE}, id="input feeding, one table"),
]


def of_task(make_recipe: MakeRecipe, name: str, model: Mapping[str, Any], **training: object) -> Recipe:
    tokenizers = {"tokenizer": {"kind": "words"}} if model.get("share_embeddings") else None
    export = {"precisions": ["fp32", "int8"]}
    return make_recipe(name, tokenizers=tokenizers, model=model, export=export, training=training)


def trained(task: AnyTask, folder: Path) -> AnyTask:
    with Progress(disable=True) as progress:
        train(task, folder, run_sha256=RUN, progress=progress)
    return task


def weights_of(task: AnyTask) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in task.model.state_dict().items()}


@pytest.mark.parametrize(("name", "model"), ARCHITECTURES)
def test_it_learns_and_the_engine_answers_with_both_variants_of_its_bundle(
    make_recipe: MakeRecipe, tiny_splits: Tiny, tmp_path: Path, name: str, model: Mapping[str, object]
) -> None:
    splits = tiny_splits[name]
    task = prepare(of_task(make_recipe, name, model, epochs=3), splits)
    before = loss_of(task)
    trained(task, tmp_path / "run")
    assert loss_of(task) < before
    draft = draft_bundle(task, run_sha256=RUN)
    check_signatures(draft.manifest)
    opened = open_bundle(draft.publish("card", tmp_path / "models"))
    evaluations = evaluate_variants(opened, splits)
    assert list(evaluations) == ["fp32", "int8"]
    assert all(np.isfinite(evaluation.score.value) for evaluation in evaluations.values())


def loss_of(task: AnyTask) -> float:
    task.model.eval()
    with torch.no_grad():
        losses = [task.loss(batch) for batch in task.batches(1)]
    return sum(float(loss.total) for loss in losses) / sum(loss.count for loss in losses)


@pytest.mark.parametrize(("name", "model"), ARCHITECTURES)
def test_a_run_that_was_stopped_ends_in_the_same_bits(
    make_recipe: MakeRecipe,
    tiny_splits: Tiny,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    model: Mapping[str, object],
) -> None:
    recipe, splits = of_task(make_recipe, name, model), tiny_splits[name]
    whole = weights_of(trained(prepare(recipe, splits), tmp_path / "whole"))
    task = prepare(recipe, splits)
    batches = type(task).batches

    def stopping(self: Any, epoch: int) -> Iterator[Batch]:
        if epoch == 2:
            raise KeyboardInterrupt
        return batches(self, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(type(task), "batches", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(task, tmp_path / "stopped")
    assert weights_of(trained(prepare(recipe, splits), tmp_path / "stopped")) == whole


def test_one_tokenizer_for_both_sides_is_one_file(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(of_task(make_recipe, "translation", ONE_TABLE), tiny_splits["translation"])
    assert isinstance(task, TranslationTask)
    draft = draft_bundle(task, run_sha256=RUN)
    spec = draft.manifest.spec
    assert spec.task == "translation"
    assert (spec.source.tokenizer, spec.target.tokenizer) == ("tokenizer.json", "tokenizer.json")
    assert [name for name in draft.files if "tokenizer" in name] == ["tokenizer.json"]


def test_the_manifest_tells_what_was_trained(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    model = {**BETWEEN, **FED, **ONE_TABLE}
    task = prepare(of_task(make_recipe, "translation", model), tiny_splits["translation"])
    architecture = draft_bundle(task, run_sha256=RUN).manifest.architecture
    assert architecture.residual
    assert architecture.layer_norm
    assert architecture.input_feeding
    assert architecture.scale_attention
    assert architecture.scale_embeddings
    assert architecture.tie_weights
    assert architecture.share_embeddings
    plain = prepare(of_task(make_recipe, "translation", {}), tiny_splits["translation"])
    assert not any(
        getattr(draft_bundle(plain, run_sha256=RUN).manifest.architecture, name)
        for name in (
            "residual",
            "layer_norm",
            "input_feeding",
            "scale_attention",
            "scale_embeddings",
            "tie_weights",
            "share_embeddings",
        )
    )
