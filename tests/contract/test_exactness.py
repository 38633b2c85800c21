"""Invariant 1 on the trained models' weights: an answer is the same, bit for bit, alone, batched, padded or joined.

In fp32 and in the int8 that is published. The negative control is ONNX Runtime's stock dynamic quantisation, which
shares one activation scale across the batch: the same checks must find it out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic

from service.bundle.manifest import GraphRole, text_specs
from service.bundle.store import OpenedBundle, open_bundle
from service.engine.batches import pad
from service.engine.classify import logits_by_row
from service.engine.constraints import Constraints
from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, Finished, Hypothesis
from service.engine.sampling import Sampling
from service.engine.steps import FloatArray, IntArray, RowModel, Step
from service.runtime.models import (
    ClassifierModel,
    LabellerModel,
    LanguageModel,
    LoadedModel,
    TranslationModel,
    load_model,
)
from service.runtime.session import GraphSession, open_session
from service.serving.engines.engine_loop import batched_graph, decoding_rows
from tests.bundles import tiny_bundle
from tests.trained import exported_in_both, trained_bundle

Trace: TypeAlias = list[bytes]
LONGEST = 64


class RecordingLoop(DecodeLoop):
    """Keeps the bits of the logits of every row, and what is found."""

    def __init__(self, model: RowModel, *, capacity: int) -> None:
        super().__init__(model, capacity=capacity)
        self.traces: dict[int, Trace] = {}
        self.found: dict[int, list[Hypothesis] | None] = {}

    def _advance(self, rows: IntArray, logits: FloatArray) -> list[Finished]:
        slots = self._slots
        for row in np.lexsort((slots.rank[rows], slots.key[rows])):
            if np.isfinite(slots.total[rows[row]]):  # the empty places of a beam are nobody's
                self.traces.setdefault(int(slots.key[rows[row]]), []).append(logits[row].tobytes())
        finished = super()._advance(rows, logits)
        self.found |= {one.key: one.hypotheses for one in finished}
        return finished

    def answers(self) -> dict[int, tuple[Trace, str]]:
        """Per request, the bits of its logits and all that it was answered."""
        return {key: (trace, repr(_plain(self.found[key]))) for key, trace in self.traces.items()}


def _plain(hypotheses: list[Hypothesis] | None) -> list[object]:
    return [
        (one.token_ids, one.ending, one.score, one.log_probabilities, one.aligned,
         None if one.attention is None else one.attention.tolist())
        for one in hypotheses or []
    ]  # fmt: skip


SAMPLES = (
    *("sample-sentiment", "sample-melody", "sample-en-it"),
    *("sample-tags", "sample-rain", "sample-clue", "sample-clue-one-direction"),
)
PRECISIONS = ("fp32", "int8")


@pytest.fixture(scope="module")
def bundles() -> Mapping[str, OpenedBundle]:
    return {name: open_bundle(trained_bundle(name)) for name in SAMPLES}


@pytest.fixture(scope="module")
def both_precisions(bundles: Mapping[str, OpenedBundle]) -> Mapping[str, OpenedBundle]:
    """The trained weights exported anew, with both variants."""
    return {name: exported_in_both(name) for name in bundles}


def stock_quantised(bundle: OpenedBundle, model: LoadedModel, folder: Path) -> LoadedModel:
    """The same model with every graph quantised by onnxruntime's `quantize_dynamic`."""
    sessions: dict[GraphRole, GraphSession] = {}
    for role, graph in bundle.manifest.variants["fp32"].graphs.items():
        source, target = folder / f"{role}.onnx", folder / f"{role}.int8.onnx"
        source.write_bytes(bundle.files[graph.file])
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)
        assert any("Dynamic" in node.op_type for node in onnx.load(target).graph.node)
        sessions[role] = open_session(target.read_bytes(), graph, where=target.name)
    return replace(model, precision="int8", sessions=sessions)


def random_sequences(count: int, vocabulary: int, random: np.random.Generator) -> list[IntArray]:
    """Sequences of every length from 1 to 63, in random order, without the special ids."""
    lengths = random.permutation(np.resize(np.arange(1, LONGEST), count))
    return [random.integers(4, vocabulary, length, dtype=np.int64) for length in lengths]


def groups(count: int, random: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    """Random groups of 1 to 17 out of `count`."""
    order = random.permutation(count)
    while len(order):
        size = int(random.integers(1, 18))
        yield order[:size]
        order = order[size:]


def random_steps(model: ClassifierModel | LabellerModel, count: int, random: np.random.Generator) -> list[list[Step]]:
    """Sequences as the model takes them: ids, or rows of scaled features."""
    texts = text_specs(model.spec)
    sequences = random_sequences(count, texts[0].vocabulary_size if texts else 5, random)
    if texts:
        return [sequence.tolist() for sequence in sequences]
    width = int(model.sessions["labeller"].graph.inputs[0].shape[2])
    return [random.normal(0, 1, (len(sequence), width)).tolist() for sequence in sequences]


def batched_differences(model: ClassifierModel | LabellerModel, random: np.random.Generator) -> int:
    """How many rows' logits change with the batch they are in, its padding, and the junk in that padding."""
    graph = batched_graph(model)
    sequences = random_steps(model, 130, random)
    junk = [step for sequence in random_steps(model, 8, random) for step in sequence]

    def run(group: list[list[Step]], padding: int) -> list[bytes]:
        longest = max(map(len, group)) + padding
        padded = [[*row, *(junk[int(random.integers(len(junk)))] for _ in range(longest - len(row)))] for row in group]
        steps, _ = graph.pad(padded)
        lengths = np.array([len(row) for row in group], dtype=np.int64)
        return [row.tobytes() for row in logits_by_row(graph.run(steps, lengths), lengths)]

    alone = [run([sequence], 0)[0] for sequence in sequences]
    different = 0
    for group in groups(len(sequences), random):
        together = run([sequences[index] for index in group], int(random.integers(0, 9)))
        different += sum(bits != alone[index] for bits, index in zip(together, group, strict=True))
    return different


def decoding_differences(model: LanguageModel | TranslationModel, random: np.random.Generator) -> int:
    """How many sequences' logits change when they join a running batch at random times, and neighbours leave."""
    rows = decoding_rows(model)
    spec = model.manifest.spec
    vocabulary = getattr(spec, "source", getattr(spec, "text", None)).vocabulary_size  # type: ignore[union-attr]
    requests = [
        DecodeRequest(key, sequence, random_options(model, key, random))
        for key, sequence in enumerate(random_sequences(80, vocabulary, random))
    ]
    alone: dict[int, tuple[Trace, str]] = {}
    for request in requests:
        loop = RecordingLoop(rows, capacity=request.options.row_count)
        loop.join([request])
        while loop.count:
            loop.step()
        alone |= loop.answers()
    crowd = RecordingLoop(rows, capacity=17)
    waiting = list(requests)
    while waiting or crowd.count:
        joining: list[DecodeRequest] = []
        for _ in range(int(random.integers(0, 6))):
            taken = sum(request.options.row_count for request in joining)
            if waiting and taken + waiting[-1].options.row_count <= crowd.free:
                joining.append(waiting.pop())
        crowd.join(joining)
        crowd.step()
    together = crowd.answers()
    assert together.keys() == alone.keys()
    return sum(together[key] != alone[key] for key in alone)


def random_options(model: LanguageModel | TranslationModel, key: int, random: np.random.Generator) -> DecodeOptions:
    """Every mode in turn: greedy, sampled, with cuts, several samples, beams of several widths."""
    limit = int(random.integers(1, 13))
    attends = isinstance(model, TranslationModel) and model.has_attention
    modes = (
        DecodeOptions(limit),
        DecodeOptions(limit, Sampling(1.0, seed=key), keep_scores=True),
        DecodeOptions(limit, Sampling(1.3, top_k=40, top_p=0.9, min_p=0.01, seed=key), sample_count=3),
        DecodeOptions(limit, Sampling(0.8, seed=key), 2, Constraints(2, 1.3, 2, ((5, 1.5), (6, -np.inf)))),
        DecodeOptions(limit, beam_size=2, hypothesis_count=2, keep_attention=attends, keep_alignment=attends),
        DecodeOptions(limit, beam_size=5, hypothesis_count=3, length_penalty=0.6, coverage_penalty=0.2 * attends),
    )
    return modes[key % len(modes)]


def check(model: LoadedModel) -> int:
    random = np.random.default_rng(5)
    if isinstance(model, ClassifierModel | LabellerModel):
        return batched_differences(model, random)
    return decoding_differences(model, random)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", SAMPLES)
def test_no_bit_of_an_answer_depends_on_its_neighbours(
    both_precisions: Mapping[str, OpenedBundle], name: str, precision: str
) -> None:
    assert check(load_model(both_precisions[name], precision=precision)) == 0


def test_int8_is_another_computation_than_fp32(both_precisions: Mapping[str, OpenedBundle]) -> None:
    """Else the int8 half of the test above would show nothing."""
    token_ids, lengths = pad([np.arange(4, 24, dtype=np.int64)], 0)
    models = [load_model(both_precisions["sample-sentiment"], precision=precision) for precision in PRECISIONS]
    fp32, int8 = (model.classify(token_ids, lengths) for model in models if isinstance(model, ClassifierModel))
    assert 0 < np.abs(fp32 - int8).max() < 0.5


@pytest.mark.parametrize("name", SAMPLES)
def test_stock_dynamic_quantisation_is_found_out(
    bundles: Mapping[str, OpenedBundle], name: str, tmp_path: Path
) -> None:
    model = load_model(bundles[name])
    assert check(stock_quantised(bundles[name], model, tmp_path)) > 0


TINY_LABELLERS = pytest.mark.parametrize(
    ("task", "plain"),
    [
        pytest.param("labelling", False, id="words, one direction"),
        pytest.param("labelling", True, id="words, both directions"),
        pytest.param("labelling-features", False, id="features, one direction"),
        pytest.param("labelling-features", True, id="features, both directions"),
    ],
)


def tiny_labeller(task: str, *, plain: bool) -> OpenedBundle:
    manifest, files = tiny_bundle(task, plain=plain)
    return OpenedBundle(Path("anywhere"), manifest, "digest", files)


@TINY_LABELLERS
def test_no_bit_of_a_label_depends_on_the_neighbours(task: str, plain: bool) -> None:
    assert check(load_model(tiny_labeller(task, plain=plain))) == 0


@TINY_LABELLERS
def test_stock_dynamic_quantisation_of_a_labeller_is_found_out(task: str, plain: bool, tmp_path: Path) -> None:
    bundle = tiny_labeller(task, plain=plain)
    assert check(stock_quantised(bundle, load_model(bundle), tmp_path)) > 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_prompt_read_by_the_engine_equals_the_same_prompt_read_step_by_step(
    both_precisions: Mapping[str, OpenedBundle], precision: str
) -> None:
    model = load_model(both_precisions["sample-melody"], precision=precision)
    assert isinstance(model, LanguageModel)
    assert model.reads_by_step is (precision == "int8")
    prompt = np.arange(4, 24, dtype=np.int64)
    loop = RecordingLoop(decoding_rows(model), capacity=3)
    loop.join([DecodeRequest(1, prompt, DecodeOptions(2)), DecodeRequest(2, prompt[:5], DecodeOptions(30))])
    while loop.count:
        loop.step()
    state = np.zeros((1, model.state_size), dtype=np.float32)
    for token in [model.bos_id, *prompt]:
        logits, state = model.step(np.array([token]), state)
    assert loop.traces[1][0] == logits[0].tobytes()
