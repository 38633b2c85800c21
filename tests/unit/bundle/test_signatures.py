"""Sizes in the task say what every graph takes and gives."""

from typing import Any

import pytest

from service.bundle.manifest import Classification, Graph, GraphRole, Manifest, TensorSpec, Translation
from service.bundle.signatures import check_signatures, describe, embedded_vocabulary_size, signature
from service.errors import BundleError
from tests.bundles import tiny_bundle


def spec_of(task: str, **sizes: Any) -> tuple[Manifest, dict[GraphRole, str]]:
    manifest, _ = tiny_bundle(task)
    manifest = manifest.model_copy(update={"spec": manifest.spec.model_copy(update=sizes)})
    lines = {}
    for role in manifest.variants["fp32"].graphs:
        found = signature(manifest.spec, role)
        lines[role] = f"{describe(found.inputs)} -> {describe(found.outputs)}"
    return manifest, lines


def test_a_classifier_carries_its_state() -> None:
    _, lines = spec_of("classification")
    assert lines["classifier"] == (
        "token_ids int64[rows, time], lengths int64[rows], state float32[rows, 16] -> "
        "logits float32[rows, 2], next_state float32[rows, 16]"
    )


def test_a_classifier_of_both_directions_carries_none() -> None:
    _, lines = spec_of("classification", state_size=None)
    assert lines["classifier"] == "token_ids int64[rows, time], lengths int64[rows] -> logits float32[rows, 2]"


def test_a_labeller_of_words_gives_logits_for_every_token() -> None:
    _, lines = spec_of("labelling")
    assert lines["labeller"] == (
        "token_ids int64[rows, time], lengths int64[rows], state float32[rows, 16] -> "
        "logits float32[rows, time, 5], next_state float32[rows, 16]"
    )


def test_a_labeller_of_both_directions_carries_none() -> None:
    _, lines = spec_of("labelling-features", state_size=None)
    assert lines["labeller"] == (
        "features float32[rows, time, 3], lengths int64[rows] -> logits float32[rows, time, 2]"
    )


def test_a_labeller_of_features_has_no_vocabulary() -> None:
    features, words = tiny_bundle("labelling-features")[0], tiny_bundle("labelling")[0]
    assert embedded_vocabulary_size(features.spec, "labeller") is None
    assert embedded_vocabulary_size(words.spec, "labeller") == 23


def test_a_language_model_reads_texts_and_single_tokens() -> None:
    _, lines = spec_of("generation")
    outputs = "logits float32[rows, 27], next_state float32[rows, 8]"
    assert lines == {
        "prefill": f"token_ids int64[rows, time], lengths int64[rows], state float32[rows, 8] -> {outputs}",
        "step": f"token_ids int64[rows], state float32[rows, 8] -> {outputs}",
    }


def test_a_translator_with_attention_passes_keys_and_values() -> None:
    _, lines = spec_of("translation")
    memory = "keys float32[rows, time, 8], values float32[rows, time, 12]"
    assert lines == {
        "encoder": f"token_ids int64[rows, time], lengths int64[rows] -> {memory}, state float32[rows, 16]",
        "decoder_step": (
            f"token_ids int64[rows], state float32[rows, 16], {memory}, lengths int64[rows] -> "
            "logits float32[rows, 300], next_state float32[rows, 16], attention float32[rows, time]"
        ),
    }


def test_a_translator_without_attention_passes_its_state_alone() -> None:
    _, lines = spec_of("translation", key_size=None, value_size=None)
    assert lines == {
        "encoder": "token_ids int64[rows, time], lengths int64[rows] -> state float32[rows, 16]",
        "decoder_step": (
            "token_ids int64[rows], state float32[rows, 16] -> logits float32[rows, 300], next_state float32[rows, 16]"
        ),
    }


def test_a_graph_of_another_task_has_no_signature() -> None:
    manifest, _ = tiny_bundle("generation")
    with pytest.raises(ValueError, match="generation has no graph encoder"):
        signature(manifest.spec, "encoder")


def test_encoder_and_decoder_choose_from_their_own_vocabularies() -> None:
    manifest, _ = tiny_bundle("translation")
    assert isinstance(manifest.spec, Translation)
    source = manifest.spec.source.model_copy(update={"vocabulary_size": 7})
    spec = manifest.spec.model_copy(update={"source": source})
    assert (embedded_vocabulary_size(spec, "encoder"), embedded_vocabulary_size(spec, "decoder_step")) == (7, 300)


@pytest.mark.parametrize(
    ("task", "sizes", "message"),
    [
        pytest.param("classification", {"state_size": 5}, r"classifier\.inputs must be .*state float32\[rows, 5\]"),
        pytest.param("labelling", {"state_size": 5}, r"labeller\.inputs must be .*state float32\[rows, 5\]"),
        pytest.param("labelling-features", {"labels": ["a", "b", "c"]}, r"labeller\.outputs must be .*time, 3\]"),
        pytest.param("generation", {"state_size": 5}, r"prefill\.inputs must be .*state float32\[rows, 5\]"),
        pytest.param("translation", {"key_size": 5}, r"encoder\.outputs must be \(keys float32\[rows, time, 5\]"),
        pytest.param("translation", {"value_size": 5}, r"encoder\.outputs must be .*values float32\[rows, time, 5\]"),
        pytest.param("translation", {"key_size": None, "value_size": None}, r"encoder\.outputs must be \(state"),
    ],
    ids=["classifier state", "labeller state", "labels", "language model state", "keys", "values", "attention"],
)
def test_sizes_that_the_graphs_do_not_have_are_refused(task: str, sizes: dict[str, Any], message: str) -> None:
    manifest, _ = spec_of(task, **sizes)
    with pytest.raises(BundleError, match=message):
        check_signatures(manifest)


def test_labels_must_be_as_many_as_logits() -> None:
    manifest, _ = tiny_bundle("classification")
    assert isinstance(manifest.spec, Classification)
    more = manifest.spec.model_copy(update={"labels": ["negative", "neutral", "positive"]})
    with pytest.raises(
        BundleError, match=r"outputs must be \(logits float32\[rows, 3\].*, not \(logits float32\[rows, 2\]"
    ):
        check_signatures(manifest.model_copy(update={"spec": more}))


def test_logits_must_be_as_many_as_the_vocabulary() -> None:
    manifest, _ = tiny_bundle("generation")
    text = manifest.spec.text.model_copy(update={"vocabulary_size": 28})  # type: ignore[union-attr]
    changed = manifest.model_copy(update={"spec": manifest.spec.model_copy(update={"text": text})})
    with pytest.raises(BundleError, match=r"must be \(logits float32\[rows, 28\]"):
        check_signatures(changed)


def test_a_declared_graph_with_an_input_too_many_is_refused() -> None:
    manifest, _ = tiny_bundle("classification")
    graph = manifest.variants["fp32"].graphs["classifier"]
    extra = TensorSpec(name="temperature", dtype="float32", shape=[])
    changed: Graph = graph.model_copy(update={"inputs": [*graph.inputs, extra]})
    variant = manifest.variants["fp32"].model_copy(update={"graphs": {"classifier": changed}})
    with pytest.raises(BundleError, match=r"variants\.fp32\.graphs\.classifier\.inputs must be"):
        check_signatures(manifest.model_copy(update={"variants": {"fp32": variant}}))
