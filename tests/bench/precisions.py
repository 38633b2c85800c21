"""How much faster an int8 decoder step is than the same in fp32, as a ratio: `python -m tests.bench.precisions`.

One thread, the two taking turns, the median of many runs; a ratio of neighbours in time says more than milliseconds on
a machine that others use. Random weights: speed does not depend on them.
"""

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from service.runtime.session import open_session
from training.export.graphs.networks import seq2seq_graphs
from training.models.seq2seq import Seq2Seq
from training.settings.model import ModelSettings

VOCABULARY, EMBEDDING, HIDDEN, TIME = 8_000, 512, 512, 32
BATCHES = (1, 4, 16)
ROUNDS = 60


def main() -> None:
    """Print the table."""
    sys.stdout.write("| cell | rows | fp32 ms | int8 ms | fp32 / int8 |\n|---|---|---|---|---|\n")
    for cell in ("lstm", "gru"):
        steps = {precision: _step(cell, precision == "int8") for precision in ("fp32", "int8")}
        for rows in BATCHES:
            times = _medians(steps, rows)
            fp32, int8 = times["fp32"] * 1e3, times["int8"] * 1e3
            sys.stdout.write(f"| {cell} | {rows} | {fp32:.3f} | {int8:.3f} | {fp32 / int8:.2f} |\n")


def _step(cell: str, quantised: bool) -> Callable[[int], object]:
    settings = ModelSettings.model_validate(
        {"cell": cell, "embedding_size": EMBEDDING, "hidden_size": HIDDEN, "attention": "general"}
    )
    graphs = seq2seq_graphs(Seq2Seq(settings, VOCABULARY, VOCABULARY).eval(), "int8" if quantised else "fp32")
    graph = graphs["decoder_step"]
    session = open_session(graph.raw, graph.signature, where="decoder_step")
    random = np.random.default_rng(0)
    sizes = {"rows": max(BATCHES), "time": TIME}
    arrays = {
        tensor.name: random.uniform(
            -1, 1, [sizes[size] if isinstance(size, str) else size for size in tensor.shape]
        ).astype(np.float32)
        for tensor in graph.signature.inputs
        if tensor.dtype == "float32"
    }
    token_ids, lengths = np.arange(sizes["rows"]), np.full(sizes["rows"], TIME)

    def run(rows: int) -> object:
        memory = (arrays[name][:rows] for name in ("state", "keys", "values"))
        return session(token_ids[:rows], *memory, lengths[:rows])

    return run


def _medians(steps: dict[str, Callable[[int], object]], rows: int) -> dict[str, float]:
    """Median seconds of each, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(ROUNDS + 5):
        for name, step in steps.items():
            start = time.perf_counter()
            step(rows)
            if turn >= 5:  # the first ones warm up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    main()
