"""Pictures: written where asked, and refused where numbers and tokens do not fit."""

from pathlib import Path

import numpy as np
import pytest

from training.report import draw_attention, draw_gates

PNG = b"\x89PNG"


def test_attention_becomes_a_png_in_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "attention.png"
    draw_attention([[0.9, 0.1], [0.2, 0.8], [0.0, 1.0]], ["black", "cat"], ["gatto", "nero", "<eos>"], path)
    assert path.read_bytes().startswith(PNG)


def test_gates_become_a_png_with_blanks_and_line_ends_among_the_tokens(tmp_path: Path) -> None:
    path = tmp_path / "gates.png"
    random = np.random.default_rng(0)
    draw_gates({"forget gate": random.random((3, 4)), "cell state": random.normal(size=(3, 4))}, ["A", " ", "\n"], path)
    assert path.read_bytes().startswith(PNG)


def test_the_same_numbers_give_the_same_picture(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw_attention([[1.0]], ["a"], ["b"], tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_attention_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights are \(1, 2\), tokens 2 by 1"):
        draw_attention([[0.5, 0.5]], ["a"], ["b", "c"], tmp_path / "attention.png")


def test_gates_with_a_row_too_few_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="forget gate has 2 rows, there are 3 tokens"):
        draw_gates({"forget gate": [[0.5], [0.5]]}, ["a", "b", "c"], tmp_path / "gates.png")
