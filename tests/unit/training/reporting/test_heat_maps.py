"""Pictures of matrices: drawn whatever the tokens are, and refused where numbers and tokens do not fit."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from training.evaluation.gates import LayerTrace
from training.reporting.heat_maps import draw_attention, draw_confusion, draw_gates

Decode = Callable[[bytes], npt.NDArray[np.float32]]
START = np.zeros(4, dtype=np.float32)


def attention(*tokens: str) -> bytes:
    return draw_attention(np.eye(len(tokens)), tokens, tokens)


def test_attention_that_is_elsewhere_is_drawn_elsewhere(decode_png: Decode) -> None:
    tokens = ["a", "b"]
    straight, crossed = (decode_png(draw_attention(w, tokens, tokens)) for w in ([[1, 0], [0, 1]], [[0, 1], [1, 0]]))
    assert straight.shape == crossed.shape
    assert not np.array_equal(straight, crossed)


def test_gates_are_drawn_with_blanks_and_line_ends_among_the_tokens(decode_png: Decode) -> None:
    random = np.random.default_rng(0)
    signals = {
        "forget gate": random.random((3, 4), dtype=np.float32),
        "cell state": random.normal(size=(3, 4)).astype(np.float32),
    }
    assert decode_png(draw_gates([LayerTrace("layer 1", ["A", " ", "\n"], signals, START)])).std() > 0


def test_each_layer_and_direction_is_drawn_below_the_one_before(decode_png: Decode) -> None:
    signals = {"hidden state": np.eye(3, 4, dtype=np.float32)}
    layers = [LayerTrace(name, ["a", "b", "c"], signals, START) for name in ("layer 1", "layer 2", "layer 3")]
    one, three = decode_png(draw_gates(layers[:1])), decode_png(draw_gates(layers))
    assert one.shape[1] == three.shape[1]
    assert three.shape[0] == pytest.approx(3 * one.shape[0], abs=3)


def test_the_same_numbers_give_the_same_picture() -> None:
    assert attention("a", "b") == attention("a", "b")


@pytest.mark.parametrize("token", ["$\\frac{$", "$x$", "\u65e5\u672c", "\0\t\x1b", "\U0001f469", "w" * 500, ""])
def test_any_text_can_be_a_token(token: str, decode_png: Decode) -> None:
    picture = decode_png(attention("before", token))
    assert picture.std() > 0
    assert max(picture.shape) < 2000


@pytest.mark.parametrize("label_count", [2, 7, 20, 40])
def test_confusion_fits_its_page_with_few_labels_and_with_many(label_count: int, decode_png: Decode) -> None:
    counts = np.eye(label_count, dtype=np.int64) * 1234
    picture = decode_png(draw_confusion(counts, [f"label {index}" for index in range(label_count)]))
    assert picture.std() > 0
    assert max(picture.shape) < 3000


def test_a_label_that_is_never_right_leaves_its_row_empty() -> None:
    draw_confusion(
        np.array([[3, 1], [0, 0]]), ["known", "never"]
    )  # a division by zero would be a warning, an error here


def test_attention_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weights are \(1, 2\), tokens 2 by 1"):
        draw_attention([[0.5, 0.5]], ["a"], ["b", "c"])


def test_gates_with_a_row_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="forget gate has 2 rows, there are 3 steps"):
        draw_gates([LayerTrace("layer 1", ["a", "b", "c"], {"forget gate": np.ones((2, 4), dtype=np.float32)}, START)])
