"""What may stand between layers, and what a decoder may carry, leave rows alone: the same bits alone, batched, padded.

Beside `test_exactness`, which asks the same of trained models through the engine: here every kind of layer, with random
weights, graph by graph, in fp32 and in int8, junk in the padding.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from service.bundle.manifest import GraphRole, Precision
from service.runtime.golden import Array
from service.runtime.session import GraphSession
from tests.parity import EVERYTHING, VOCABULARY, Case, architecture, export, opened

IntArray = npt.NDArray[np.int64]
BETWEEN = {"residual": True, "layer_norm": True}
LENGTHS = np.array([1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33, 47, 48, 63, 64, 4, 1])
CELLS = pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
PRECISIONS = pytest.mark.parametrize("precision", ["fp32", "int8"])


def sessions_of(case: Case, precision: Precision) -> dict[GraphRole, GraphSession]:
    _, write = export(case)
    return opened(write(precision))


def padded(rows: Sequence[int], *, multiple: int, extra: int = 0) -> IntArray:
    """Tokens of `rows`, each the same in every batch; what stands past a row's length is not."""
    longest = -(-int(LENGTHS[list(rows)].max()) // multiple) * multiple + extra
    junk = np.random.default_rng((longest, len(rows))).integers(3, VOCABULARY, (len(rows), longest))
    for place, row in enumerate(rows):
        length = LENGTHS[row]
        junk[place, :length] = np.random.default_rng((7, row)).integers(3, VOCABULARY, length)
    return junk


def states(rows: Sequence[int], size: int) -> npt.NDArray[np.float32]:
    """A state for each row, from very small to very large."""
    return np.stack([np.random.default_rng((9, row)).normal(0, 10.0 ** (row / 4 - 2), size) for row in rows]).astype(
        "f"
    )


def bits(graph: GraphSession, outputs: Sequence[Array], place: int, length: int) -> list[bytes]:
    """One row's outputs, without what stands on its padding."""
    over_time = ["time" in tensor.shape for tensor in graph.graph.outputs]
    rows = [output[place] for output in outputs]
    return [(row[:length] if timed else row).tobytes() for row, timed in zip(rows, over_time, strict=True)]


@PRECISIONS
@CELLS
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("between", [{}, BETWEEN], ids=["plain", "sums and norms"])
def test_a_classifier_leaves_rows_alone(
    cell: str, between: dict[str, bool], bidirectional: bool, precision: Precision
) -> None:
    case = Case("classification", architecture(cell, 3, bidirectional=bidirectional, **between))
    run = sessions_of(case, precision)["classifier"]

    def answers(rows: Sequence[int], extra: int) -> list[list[bytes]]:
        inputs: list[Array] = [padded(rows, multiple=1, extra=extra), LENGTHS[list(rows)]]
        if not bidirectional:
            inputs.append(states(rows, run.graph.inputs[2].shape[1]))  # type: ignore[arg-type]
        outputs = run(*inputs)
        return [[output[place].tobytes() for output in outputs] for place in range(len(rows))]

    together = answers(range(17), extra=5)
    assert together == [answers([row], extra=0)[0] for row in range(17)]


@PRECISIONS
@CELLS
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("between", [{}, BETWEEN], ids=["plain", "sums and norms"])
def test_a_labeller_leaves_rows_alone(
    cell: str, between: dict[str, bool], bidirectional: bool, precision: Precision
) -> None:
    case = Case("labelling words", architecture(cell, 3, bidirectional=bidirectional, **between))
    run = sessions_of(case, precision)["labeller"]

    def answers(rows: Sequence[int], extra: int) -> list[list[bytes]]:
        lengths = LENGTHS[list(rows)]
        inputs: list[Array] = [padded(rows, multiple=1, extra=extra), lengths]
        if not bidirectional:
            inputs.append(states(rows, run.graph.inputs[2].shape[1]))  # type: ignore[arg-type]
        outputs = run(*inputs)
        return [bits(run, outputs, place, length) for place, length in enumerate(lengths)]

    together = answers(range(17), extra=5)
    assert together == [answers([row], extra=0)[0] for row in range(17)]


@PRECISIONS
@CELLS
@pytest.mark.parametrize("between", [{}, BETWEEN], ids=["plain", "sums and norms"])
def test_the_step_of_a_language_model_leaves_rows_alone(
    cell: str, between: dict[str, bool], precision: Precision
) -> None:
    step = sessions_of(Case("generation", architecture(cell, 3, **between)), precision)["step"]
    tokens = padded([14], multiple=1)[0]

    def answers(rows: Sequence[int]) -> list[list[bytes]]:
        state, traces = states(rows, step.graph.inputs[1].shape[1]), [list[bytes]() for _ in rows]  # type: ignore[arg-type]
        for time in range(20):
            outputs = step(tokens[[(row + time) % len(tokens) for row in rows]], state)
            for place in range(len(rows)):
                traces[place] += bits(step, outputs, place, 1)
            state = outputs[1]
        return traces

    together = answers(range(17))
    assert together == [answers([row])[0] for row in range(17)]


@CELLS
@pytest.mark.parametrize("between", [{}, BETWEEN], ids=["plain", "sums and norms"])
def test_a_language_model_reads_at_once_as_it_reads_step_by_step(cell: str, between: dict[str, bool]) -> None:
    sessions = sessions_of(Case("generation", architecture(cell, 3, **between)), "fp32")
    prefill, step = sessions["prefill"], sessions["step"]
    rows = range(17)
    start = states(rows, step.graph.inputs[1].shape[1])  # type: ignore[arg-type]
    tokens = padded(rows, multiple=1)
    together = prefill(tokens, LENGTHS, start)
    for row in rows:
        state = start[row : row + 1]
        for token in tokens[row, : LENGTHS[row]]:
            logits, state = step(np.array([token]), state)
        assert logits.tobytes() == together[0][row].tobytes()
        assert state.tobytes() == together[1][row].tobytes()


@PRECISIONS
@CELLS
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"attention": "general"}, id="plain"),
        pytest.param({"attention": "general", **BETWEEN}, id="general"),
        pytest.param({"attention": "dot", "bidirectional": True, "input_feeding": True}, id="dot, fed"),
        pytest.param({"attention": "additive", "bidirectional": True, "input_feeding": True, **EVERYTHING}, id="all"),
        pytest.param({"attention": None, **BETWEEN}, id="no attention"),
    ],
)
def test_a_translator_leaves_rows_alone(cell: str, options: dict[str, object], precision: Precision) -> None:
    sessions = sessions_of(Case("translation", architecture(cell, 3, **options)), precision)

    def answers(rows: Sequence[int]) -> list[list[bytes]]:
        tokens, lengths = padded(rows, multiple=16), LENGTHS[list(rows)]
        encoder, step = sessions["encoder"], sessions["decoder_step"]
        *memory, state = encoder(tokens, lengths)
        traces = [bits(encoder, [*memory, state], place, length) for place, length in enumerate(lengths)]
        source = [*memory, lengths] if memory else []
        previous = np.ones(len(rows), dtype=np.int64)
        for _ in range(3):
            outputs = step(previous, state, *source)
            for place, length in enumerate(lengths):
                traces[place] += bits(step, outputs, place, length)
            previous, state = outputs[0].argmax(axis=1), outputs[1]
        return traces

    together = answers(range(17))
    assert together == [answers([row])[0] for row in range(17)]
