"""A bundle becomes a model only with its proof, and the model answers each row as if it were alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

from service.bundle.manifest import Manifest, Precision
from service.bundle.store import OpenedBundle
from service.errors import BundleError, SettingsError
from service.runtime.models import (
    ClassifierModel,
    LabellerModel,
    LanguageModel,
    LoadedModel,
    TranslationModel,
    load_model,
)
from service.runtime.session import Array
from tests.bundles import TIME_MULTIPLE, golden_inputs, rehashed, tiny_bundle

EVERY_MODEL = pytest.mark.parametrize(
    ("task", "plain"),
    [
        pytest.param("classification", False, id="classification"),
        pytest.param("classification", True, id="classification in both directions"),
        pytest.param("labelling", False, id="labelling"),
        pytest.param("labelling", True, id="labelling in both directions"),
        pytest.param("labelling-features", False, id="labelling of features"),
        pytest.param("labelling-features", True, id="labelling of features in both directions"),
        pytest.param("generation", False, id="generation"),
        pytest.param("translation", False, id="translation"),
        pytest.param("translation", True, id="translation without attention"),
    ],
)


def opened(task: str, *, plain: bool = False) -> OpenedBundle:
    manifest, files = tiny_bundle(task, plain=plain)
    return OpenedBundle(Path("anywhere"), manifest, "digest", files)


def load(task: str, *, plain: bool = False) -> LoadedModel:
    return load_model(opened(task, plain=plain))


@EVERY_MODEL
def test_every_valid_bundle_loads(task: str, plain: bool) -> None:
    model = load(task, plain=plain)
    assert (model.precision, model.provider, model.digest) == ("fp32", "cpu", "digest")
    assert model.manifest.name == f"tiny-{task}"
    assert model.proof.share_of_tolerance <= 1


@EVERY_MODEL
def test_a_row_gives_the_same_answer_alone_and_among_others_to_the_last_bit(task: str, plain: bool) -> None:
    model = load(task, plain=plain)
    random = np.random.default_rng(7)
    for rows in (1, 2, 3, 8, 17):
        lengths = random.integers(1, 65, rows).tolist()
        for run in model.sessions.values():
            together = golden_inputs(model.spec, run.graph, lengths, seed=rows)
            outputs = run(*together)
            for row, length in enumerate(lengths):
                padded = -(-length // TIME_MULTIPLE) * TIME_MULTIPLE if task == "translation" else length
                alone = run(*(cut(array, run.graph.inputs[at].shape, row, padded) for at, array in enumerate(together)))
                for tensor, ours, theirs in zip(run.graph.outputs, alone, outputs, strict=True):
                    assert np.array_equal(cut(ours, tensor.shape, 0, length), cut(theirs, tensor.shape, row, length)), (
                        f"{run.graph.file} {tensor.name}, row {row} of {lengths}"
                    )


def cut(array: Array, shape: list[int | str], row: int, length: int) -> Array:
    """One row, and `length` of its time."""
    one = array[row : row + 1]
    return np.ascontiguousarray(one[:, :length]) if "time" in shape else one


@EVERY_MODEL
def test_junk_in_the_padding_changes_nothing_to_the_last_bit(task: str, plain: bool) -> None:
    model = load(task, plain=plain)
    lengths = [3, 20, 1]
    random = np.random.default_rng(1)
    for run in model.sessions.values():
        clean = golden_inputs(model.spec, run.graph, lengths)
        dirty = [array.copy() for array in clean]
        for tensor, array in zip(run.graph.inputs, dirty, strict=True):
            if "time" in tensor.shape:
                for row, length in enumerate(lengths):
                    array[row, length:] = random.integers(0, 20, array[row, length:].shape)
        for tensor, ours, theirs in zip(run.graph.outputs, run(*clean), run(*dirty), strict=True):
            for row, length in enumerate(lengths):
                real = (row, length) if "time" in tensor.shape else (row, None)
                assert np.array_equal(ours[real[0]][: real[1]], theirs[real[0]][: real[1]]), tensor.name


def test_a_classifier_starts_from_a_state_of_zeros() -> None:
    model = load("classification")
    assert isinstance(model, ClassifierModel)
    ids, lengths, state = golden_inputs(model.spec, model.sessions["classifier"].graph, [4, 2])
    expected, _ = model.sessions["classifier"](ids, lengths, np.zeros_like(state))
    assert np.array_equal(model.classify(ids, lengths), expected)
    assert model.classify(ids, lengths).shape == (2, 2)


def test_a_classifier_of_both_directions_needs_no_state() -> None:
    model = load("classification", plain=True)
    assert isinstance(model, ClassifierModel)
    assert model.classify(np.full((1, 3), 4), np.array([3])).shape == (1, 2)


@pytest.mark.parametrize("task", ["labelling", "labelling-features"])
@pytest.mark.parametrize("plain", [False, True], ids=["one direction", "both directions"])
def test_a_labeller_gives_logits_for_every_step_and_starts_from_zeros(task: str, plain: bool) -> None:
    model = load(task, plain=plain)
    assert isinstance(model, LabellerModel)
    run = model.sessions["labeller"]
    steps, lengths, *state = golden_inputs(model.spec, run.graph, [4, 2])
    expected = run(steps, lengths, *(np.zeros_like(one) for one in state))[0]
    assert np.array_equal(model.label(steps, lengths), expected)
    assert model.label(steps, lengths).shape == (2, 4, len(model.spec.labels))
    assert len(state) == (0 if plain else 1)


def test_a_sequence_of_readings_may_be_cut_anywhere_and_read_on() -> None:
    model = load("labelling-features")
    run = model.sessions["labeller"]
    steps, _, state = golden_inputs(model.spec, run.graph, [9])
    whole, after = run(steps, np.array([9]), state)
    head, between = run(steps[:, :4].copy(), np.array([4]), state)
    tail, end = run(steps[:, 4:].copy(), np.array([5]), between)
    assert np.array_equal(np.concatenate([head, tail], axis=1), whole)
    assert np.array_equal(end, after)


def test_reading_at_once_and_token_by_token_gives_the_same_state_to_the_last_bit() -> None:
    model = load("generation")
    assert isinstance(model, LanguageModel)
    ids = np.random.default_rng(2).integers(3, 27, (2, 12))
    start = np.zeros((2, model.state_size), np.float32)
    at_once = model.prefill(ids, np.array([12, 12]), start)
    state = start
    for time in range(12):
        logits, state = model.step(ids[:, time], state)
    assert np.array_equal(at_once[0], logits)
    assert np.array_equal(at_once[1], state)


def test_a_text_may_be_cut_anywhere_and_read_on() -> None:
    model = load("generation")
    assert isinstance(model, LanguageModel)
    ids = np.random.default_rng(3).integers(3, 27, (1, 9))
    start = np.zeros((1, model.state_size), np.float32)
    whole = model.prefill(ids, np.array([9]), start)
    _, state = model.prefill(ids[:, :4], np.array([4]), start)
    rest = model.prefill(ids[:, 4:], np.array([5]), state)
    assert all(np.array_equal(*pair) for pair in zip(whole, rest, strict=True))


def test_a_translator_attends_to_real_tokens_alone() -> None:
    model = load("translation")
    assert isinstance(model, TranslationModel)
    lengths = np.array([5, 16, 1])
    source = model.encode(np.full((3, 16), 9), lengths)
    assert source.keys is not None
    assert source.values is not None
    logits, state, attention = model.step(np.full(3, 1), source.state, source.keys, source.values, lengths)
    assert attention is not None
    assert (logits.shape, state.shape, attention.shape) == ((3, 300), (3, 16), (3, 16))
    assert np.allclose(attention.sum(axis=1), 1)
    assert all((attention[row, length:] == 0).all() for row, length in enumerate(lengths))


def test_a_translator_without_attention_has_none_to_show() -> None:
    model = load("translation", plain=True)
    assert isinstance(model, TranslationModel)
    assert not model.has_attention
    lengths = np.array([4])
    source = model.encode(np.full((1, 16), 9), lengths)
    logits, _, attention = model.step(np.array([1]), source.state, source.keys, source.values, lengths)
    assert (source.keys, source.values, attention, logits.shape) == (None, None, None, (1, 300))


# What keeps a bundle from being loaded


def test_a_precision_that_is_not_there_is_refused() -> None:
    with pytest.raises(SettingsError, match="no precision 'int8', only fp32"):
        load_model(opened("classification"), precision="int8")


def with_fp16(bundle: OpenedBundle, *, default: Precision = "fp32") -> OpenedBundle:
    """The bundle with a variant fp16, which is its fp32."""
    variants = bundle.manifest.variants | {"fp16": bundle.manifest.variants["fp32"]}
    return replace(
        bundle, manifest=bundle.manifest.model_copy(update={"variants": variants, "default_precision": default})
    )


@pytest.mark.parametrize(("precision", "default"), [("fp16", "fp32"), (None, "fp16")])
def test_half_precision_is_for_cuda_alone(precision: str | None, default: Precision) -> None:
    bundle = with_fp16(opened("classification"), default=default)
    message = "^tiny-classification: fp16 is proven on provider cuda alone, not on cpu$"
    with pytest.raises(SettingsError, match=message):
        load_model(bundle, precision=precision)
    assert load_model(bundle, precision=precision, emulate_fp16=True).precision == "fp16"


def test_an_unknown_provider_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(SettingsError, match="provider 'npu' is unknown"):
        load_model(opened("classification"), provider="npu")


Change = Callable[[Manifest, dict[str, bytes]], None]


def nudge_a_weight(_: Manifest, files: dict[str, bytes]) -> None:
    """What hashes cannot show: a graph that is valid, and is not the one that was recorded."""
    model = ModelProto.FromString(files["classifier.fp32.onnx"])
    bias = model.graph.initializer[-1]
    bias.raw_data = (np.frombuffer(bias.raw_data, np.float32) + np.float32(0.001)).tobytes()
    files["classifier.fp32.onnx"] = model.SerializeToString()


def take_another_tokenizer(_: Manifest, files: dict[str, bytes]) -> None:
    files["tokenizer.json"] = tiny_bundle("generation")[1]["tokenizer.json"]


def break_the_tokenizer(_: Manifest, files: dict[str, bytes]) -> None:
    files["tokenizer.json"] = b"{}"


def let_the_tokenizer_panic(_: Manifest, files: dict[str, bytes]) -> None:
    content = json.loads(files["tokenizer.json"])
    content["decoder"] = {"type": "Strip", "content": "a", "start": 0, "stop": 99}
    files["tokenizer.json"] = json.dumps(content).encode()


def add_a_loop(_: Manifest, files: dict[str, bytes]) -> None:
    model = ModelProto.FromString(files["classifier.fp32.onnx"])
    model.graph.node.add(op_type="Loop")
    files["classifier.fp32.onnx"] = model.SerializeToString()


def take_another_recording(_: Manifest, files: dict[str, bytes]) -> None:
    files["golden.fp32.npz"] = tiny_bundle("generation")[1]["golden.fp32.npz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            nudge_a_weight,
            r"golden\.fp32\.npz: graph classifier, case 0, output logits: deviates by 0\.001",
            id="another weight",
        ),
        pytest.param(take_another_tokenizer, r"tokenizer\.json: the vocabulary has 27 tokens", id="another tokenizer"),
        pytest.param(break_the_tokenizer, r"tokenizer\.json: not a tokenizer", id="no tokenizer"),
        pytest.param(let_the_tokenizer_panic, r"tokenizer\.json: the tokenizer broke on", id="panicking tokenizer"),
        pytest.param(add_a_loop, r"classifier\.fp32\.onnx: node .*Loop", id="a loop"),
        pytest.param(take_another_recording, r"golden\.fp32\.npz: records graph 'prefill'", id="another recording"),
    ],
)
def test_a_bundle_whose_hashes_are_right_and_whose_content_is_not_is_refused(change: Change, message: str) -> None:
    manifest, files = tiny_bundle("classification")
    change(manifest, files)
    with pytest.raises(BundleError, match=f"^{message}"):
        load_model(OpenedBundle(Path("anywhere"), rehashed(manifest, files), "digest", files))


@pytest.mark.parametrize("file", ["encoder.fp32.onnx", "golden.fp32.npz", "target.tokenizer.json"])
def test_flipped_bits_under_right_hashes_are_refused_or_harmless(file: str) -> None:
    """Whatever the damage: a BundleError, or a model that reproduces its recording. Never another exception."""
    manifest, files = tiny_bundle("translation")
    refusals = []
    for position in np.random.default_rng(0).choice(8 * len(files[file]), 64, replace=False):
        changed = bytearray(files[file])
        changed[position // 8] ^= 1 << position % 8
        damaged = {**files, file: bytes(changed)}
        try:
            load_model(OpenedBundle(Path("anywhere"), rehashed(manifest, damaged), "digest", damaged))
        except BundleError as error:
            refusals.append(error.message)
    assert refusals
    assert all(message.startswith((file, "golden.fp32.npz: ")) for message in refusals)


@pytest.mark.parametrize("file", ["encoder.fp32.onnx", "golden.fp32.npz", "target.tokenizer.json"])
def test_truncated_files_under_right_hashes_are_refused(file: str) -> None:
    manifest, files = tiny_bundle("translation")
    for part in range(1, 17):
        damaged = {**files, file: files[file][: len(files[file]) * part // 17]}
        with pytest.raises(BundleError, match=f"^{file}: "):
            load_model(OpenedBundle(Path("anywhere"), rehashed(manifest, damaged), "digest", damaged))
