"""A draft is a sound bundle in memory; publishing adds the card and nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.bundle.manifest import Precision
from service.bundle.signatures import check_signatures
from service.bundle.store import open_bundle
from service.errors import BundleError
from service.runtime.golden import GoldenCase, read_golden
from service.runtime.models import load_model
from service.runtime.session import open_session
from tests.run_record import run_record
from training.data.examples import AnySplits
from training.errors import DataError, ExportError
from training.evaluation.evaluate import evaluate_bundle, evaluate_variants
from training.export.bundle import Draft, bundle_folder, draft_bundle, is_published
from training.export.card import describe_variants, write_card
from training.preparation.prepare import prepare
from training.settings.evaluation import EvaluationSettings
from training.settings.recipe import Recipe

MakeRecipe = Callable[..., Recipe]
Tiny = Mapping[str, AnySplits]
RUN = "a" * 64
VARIETIES = [
    pytest.param("classification", {}, id="classifier"),
    pytest.param("classification", {"bidirectional": True, "cell": "gru"}, id="classifier of both directions"),
    pytest.param("generation", {"cell": "gru", "layers": 2}, id="language model"),
    pytest.param("labelling", {}, id="labeller of words"),
    pytest.param("labelling", {"bidirectional": True, "layers": 2}, id="labeller of words, both directions"),
    pytest.param("readings", {"cell": "gru"}, id="labeller of readings"),
    pytest.param("readings", {"bidirectional": True, "cell": "rnn"}, id="labeller of readings, both directions"),
    pytest.param("translation", {}, id="translator without attention"),
    pytest.param("translation", {"attention": "general", "bidirectional": True}, id="translator with attention"),
]


@pytest.fixture
def make_draft(make_recipe: MakeRecipe, tiny_splits: Tiny) -> Callable[..., Draft]:
    def make(task: str, model: Mapping[str, object]) -> Draft:
        return draft_bundle(prepare(make_recipe(task, model=model), tiny_splits[task]), run_sha256=RUN)

    return make


@pytest.mark.parametrize(("task", "model"), VARIETIES)
def test_the_service_loads_a_draft_and_its_proof_holds(
    make_draft: Callable[..., Draft], task: str, model: Mapping[str, object]
) -> None:
    draft = make_draft(task, model)
    check_signatures(draft.manifest)
    assert load_model(draft.opened()).manifest.spec.task == ("labelling" if task == "readings" else task)


@pytest.mark.parametrize(("task", "model"), VARIETIES)
def test_golden_runs_cover_one_row_padded_rows_and_time_one(
    make_draft: Callable[..., Draft], task: str, model: Mapping[str, object]
) -> None:
    draft = make_draft(task, model)
    variant = draft.manifest.variants["fp32"]
    cases = recorded(draft, "fp32")
    for role in variant.graphs:
        shapes = [next(iter(case.inputs.values())).shape for case in cases if case.role == role]
        assert {shape[0] for shape in shapes} == {1, 3}
        if len(shapes[0]) > 1:
            assert 1 in {shape[1] for shape in shapes}
    states = [case.inputs["state"] for case in cases if "state" in case.inputs]
    assert not states or any(np.any(state != 0) for state in states)


def test_a_changed_weight_is_refused_by_the_proof(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    task = prepare(make_recipe("classification"), tiny_splits["classification"])
    draft = draft_bundle(task, run_sha256=RUN)
    task.model.get_parameter("output.bias").data.add_(0.01)
    other = draft_bundle(task, run_sha256=RUN)
    mixed = replace(draft, files={**draft.files, "classifier.fp32.onnx": other.files["classifier.fp32.onnx"]})
    with pytest.raises(BundleError, match="graph classifier, case 0, output logits: deviates"):
        load_model(mixed.opened())


def test_the_card_states_how_far_each_graph_of_each_variant_is_from_pytorch(
    make_recipe: MakeRecipe, tiny_splits: Tiny
) -> None:
    recipe = make_recipe("translation", export={"precisions": ["fp32", "int8"]})
    draft = draft_bundle(prepare(recipe, tiny_splits["translation"]), run_sha256=RUN)
    in_pytorch = recorded(draft, "fp32")
    runs = {
        role: open_session(draft.files[graph.file], graph, where=role)
        for role, graph in draft.manifest.variants["fp32"].graphs.items()
    }
    in_fp32 = [tuple(runs[case.role](*case.inputs.values())) for case in in_pytorch]
    in_int8 = [tuple(case.outputs.values()) for case in recorded(draft, "int8")]
    text = describe_variants(draft, "none")
    for name, outputs in (("fp32 (default)", in_fp32), ("int8", in_int8)):
        for role in runs:
            worst = max(
                np.abs(got - expected).max()
                for case, found in zip(in_pytorch, outputs, strict=True)
                for got, expected in zip(found, case.outputs.values(), strict=True)
                if case.role == role
            )
            assert worst > 0
            assert f"| {name} | {role} | " in text
            assert f" | {worst:.2g} |" in text.partition(f"| {name} | {role} | ")[2].partition("\n")[0]


def recorded(draft: Draft, precision: Precision) -> tuple[GoldenCase, ...]:
    variant = draft.manifest.variants[precision]
    return read_golden(draft.files[variant.golden.file], variant.graphs, where=precision)


def test_a_graph_that_gives_something_else_than_pytorch_is_not_exported(
    make_recipe: MakeRecipe, tiny_splits: Tiny
) -> None:
    task = prepare(make_recipe("classification"), tiny_splits["classification"])
    task.model.register_forward_hook(lambda module, inputs, outputs: (outputs[0] + 0.01, outputs[1]))
    with pytest.raises(
        ExportError, match=r"^fp32 is off by 0\.01 .* graph classifier, output logits; allowed are 1e-05$"
    ):
        draft_bundle(task, run_sha256=RUN)


@pytest.mark.parametrize("task", ["classification", "generation", "labelling", "readings", "translation"])
def test_a_published_draft_opens_with_scores_in_its_card(
    make_recipe: MakeRecipe, tiny_splits: Tiny, tmp_path: Path, task: str
) -> None:
    recipe, splits = make_recipe(task), tiny_splits[task]
    draft = draft_bundle(prepare(recipe, splits), run_sha256=RUN)
    evaluation = evaluate_bundle(draft.opened(), splits)
    card = write_card(draft, run_record(recipe, splits), {"fp32": evaluation})
    folder = draft.publish(card, tmp_path / "models")
    assert folder == bundle_folder(recipe, tmp_path / "models")
    opened = open_bundle(folder)
    text = opened.files["MODEL_CARD.md"].decode()
    assert all(f"| {score.name} | fp32 | {score.shown} |" in text for score in (evaluation.score, *evaluation.further))
    assert evaluation.baseline.name in text
    assert evaluate_bundle(opened, splits).score == evaluation.score


def test_a_bundle_of_the_same_run_is_found_and_one_of_another_is_in_the_way(
    make_recipe: MakeRecipe, tiny_splits: Tiny, tmp_path: Path
) -> None:
    recipe = make_recipe("classification")
    assert not is_published(recipe, tmp_path, run_sha256=RUN)
    draft = draft_bundle(prepare(recipe, tiny_splits["classification"]), run_sha256=RUN)
    draft.publish("card", tmp_path)
    assert is_published(recipe, tmp_path, run_sha256=RUN)
    with pytest.raises(ExportError, match="made from another recipe or other data"):
        is_published(recipe, tmp_path, run_sha256="b" * 64)
    with pytest.raises(ExportError, match="exists already"):
        draft.publish("card", tmp_path)


def test_a_damaged_bundle_is_in_the_way_too(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    recipe = make_recipe("classification")
    bundle_folder(recipe, tmp_path).mkdir(parents=True)
    with pytest.raises(ExportError, match="remove it"):
        is_published(recipe, tmp_path, run_sha256=RUN)


def test_a_bundle_is_not_measured_on_another_tasks_corpus(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    draft = draft_bundle(prepare(make_recipe("generation"), tiny_splits["generation"]), run_sha256=RUN)
    with pytest.raises(DataError, match="no test examples for generation"):
        evaluate_bundle(draft.opened(), tiny_splits["translation"])


def test_a_translator_is_measured_with_a_beam_and_the_score_says_how_wide(
    make_recipe: MakeRecipe, tiny_splits: Tiny
) -> None:
    draft = draft_bundle(prepare(make_recipe("translation"), tiny_splits["translation"]), run_sha256=RUN)
    evaluation = evaluate_bundle(
        draft.opened(), tiny_splits["translation"], settings=EvaluationSettings(beam_size=3, bleu_tokenization="none")
    )
    assert evaluation.score.method.endswith(", beam of 3, length penalty 0.6")


@pytest.mark.parametrize(
    ("task", "tokens_of_longest"),
    [
        pytest.param("classification", 4, id="classification"),
        pytest.param("translation", 4, id="translation, the end counts"),
    ],
)
def test_a_score_says_how_many_texts_were_cut_and_nothing_where_none_was(
    make_recipe: MakeRecipe, tiny_splits: Tiny, task: str, tokens_of_longest: int
) -> None:
    splits: Any = tiny_splits[task]
    prepared = prepare(make_recipe(task, data={"max_token_count": tokens_of_longest}), splits)
    opened = draft_bundle(prepared, run_sha256=RUN).opened()
    assert "cut to" not in evaluate_bundle(opened, splits).score.method
    first, *others = splits.test
    text = "source" if task == "translation" else "text"
    longer = replace(first, **{text: f"the {getattr(first, text)}"})
    evaluation = evaluate_bundle(opened, replace(splits, test=(longer, *others)))
    assert evaluation.score.method.endswith(f", 1 cut to {tokens_of_longest} tokens")


def test_the_card_of_a_negative_control_says_so(make_recipe: MakeRecipe, tiny_splits: Tiny) -> None:
    recipe, splits = make_recipe("classification", data={"shuffle_labels": True}), tiny_splits["classification"]
    draft = draft_bundle(prepare(recipe, splits), run_sha256=RUN)
    card = write_card(draft, run_record(recipe, splits), evaluate_variants(draft.opened(), splits))
    assert "negative control" in card
