"""Whether an answer depends on its neighbours: the same requests alone, and in a crowd; what differs is counted.

Whatever the model, and wherever its sequences are from. Junk in the padding, groups of random sizes, joining at random
times, all modes of decoding; bits are compared, not numbers. Serves nobody.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from service.bundle.manifest import text_specs
from service.engine.classify import logits_by_row
from service.engine.constraints import Constraints
from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, Finished, Hypothesis
from service.engine.sampling import Sampling
from service.engine.steps import FloatArray, IntArray, RowModel, Step
from service.errors import BundleError
from service.runtime.models import ClassifierModel, LabellerModel, LanguageModel, LoadedModel, TranslationModel
from service.runtime.pins import pins_hold
from service.serving.engines.runnable import batched_graph, decoding_rows

ENOUGH, AT_LOAD = 96, 12
"""Sequences that make a proof, and that a server has time for whenever it loads a model."""
UNPINNED = "tanh or sigmoid is larger somewhere than where FORMAT.md pins the ranges of int8"
Trace: TypeAlias = list[bytes]
LONGEST = 64
FORCED_EVERY = 5


def bits_of(logits: FloatArray) -> bytes:
    """What stands for the bits of a row: the rows themselves would be gigabytes."""
    return hashlib.blake2b(logits.tobytes(), digest_size=16).digest()


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
                self.traces.setdefault(int(slots.key[rows[row]]), []).append(bits_of(logits[row]))
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


def prove_exact(model: LoadedModel, *, where: str) -> str:
    """Ask a model the same things alone and in a crowd; returns what was found, for people.

    Raises:
        BundleError: answers depend on their neighbours, on a CPU, or may do so. On a GPU that is not promised, and only
            said.
    """
    different = _different(model, ENOUGH, most_tokens=12)
    if not different:
        if not _ranges_are_pinned(model):
            raise BundleError(
                f"{where}: not exact on this machine, whose {UNPINNED}; serve fp32 here, or on another CPU"
            )
        return f"{ENOUGH} answers alone and in a crowd are the same bit for bit"
    found = f"not exact: {different} of {ENOUGH} answers alone differ from those in a crowd"
    if model.provider == "cpu":
        raise BundleError(f"{where}: {found}; expected activations to be quantised row by row, if at all")
    return found


def is_exact(model: LoadedModel) -> bool:
    """Whether a few answers, and short ones, are the same alone and in a crowd: a fraction of a second."""
    return _ranges_are_pinned(model) and _different(model, AT_LOAD, most_tokens=3) == 0


def _ranges_are_pinned(model: LoadedModel) -> bool:
    """Whether integers may be trusted: chance would hardly find the few activations that leave a range."""
    return model.precision != "int8" or model.provider != "cpu" or pins_hold()


def _different(model: LoadedModel, count: int, *, most_tokens: int) -> int:
    sequences = random_steps(model, count, np.random.default_rng(1))
    return differences(model, sequences, most_tokens=most_tokens)


def random_steps(model: LoadedModel, count: int, random: np.random.Generator) -> list[Sequence[Step]]:
    """Sequences of every length from 1 to 63, in random order: ids, or rows of scaled features.

    Ids are not the special ones that begin most vocabularies, unless there are hardly any others.
    """
    texts = text_specs(model.spec)
    lengths = random.permutation(np.resize(np.arange(1, LONGEST), count))
    if texts:
        size = texts[0].vocabulary_size
        return [random.integers(min(4, size - 1), size, length).tolist() for length in lengths]
    width = int(model.sessions["labeller"].graph.inputs[0].shape[2])
    return [random.normal(0, 1, (length, width)).tolist() for length in lengths]


def groups(count: int, random: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    """Random groups of 1 to 17 out of `count`."""
    order = random.permutation(count)
    while len(order):
        size = int(random.integers(1, 18))
        yield order[:size]
        order = order[size:]


def differences(model: LoadedModel, sequences: Sequence[Sequence[Step]] | None = None, *, most_tokens: int = 12) -> int:
    """How many sequences' answers change with the company they are in.

    Args:
        model: in one precision.
        sequences: as its graphs take them; None: random ones.
        most_tokens: of an answer that is decoded.
    """
    random = np.random.default_rng(5)
    if isinstance(model, ClassifierModel | LabellerModel):
        return batched_differences(model, sequences or random_steps(model, 130, random), random)
    requests = decode_requests(model, sequences or random_steps(model, 80, random), random, most_tokens=most_tokens)
    return decoding_differences(model, requests, random)


def batched_differences(
    model: ClassifierModel | LabellerModel, sequences: Sequence[Sequence[Step]], random: np.random.Generator
) -> int:
    """How many rows' logits change with the batch they are in, its padding, and the junk in that padding."""
    graph = batched_graph(model)
    junk = [step for sequence in sequences[:32] for step in sequence]

    def run(group: Sequence[Sequence[Step]], padding: int) -> list[bytes]:
        longest = max(map(len, group)) + padding
        padded = [[*row, *(junk[int(random.integers(len(junk)))] for _ in range(longest - len(row)))] for row in group]
        steps, _ = graph.pad(padded)
        lengths = np.array([len(row) for row in group], dtype=np.int64)
        return [bits_of(row) for row in logits_by_row(graph.run(steps, lengths), lengths)]

    alone = [run([sequence], 0)[0] for sequence in sequences]
    different = 0
    for group in groups(len(sequences), random):
        together = run([sequences[index] for index in group], int(random.integers(0, 9)))
        different += sum(bits != alone[index] for bits, index in zip(together, group, strict=True))
    return different


def take_some(waiting: list[DecodeRequest], free: int, count: int) -> list[DecodeRequest]:
    """Take up to `count` requests from the end of those that wait, as far as their rows fit into `free` ones."""
    taken: list[DecodeRequest] = []
    while waiting and len(taken) < count and waiting[-1].options.row_count <= free:
        free -= waiting[-1].options.row_count
        taken.append(waiting.pop())
    return taken


def decoding_differences(
    model: LanguageModel | TranslationModel, requests: Sequence[DecodeRequest], random: np.random.Generator
) -> int:
    """How many requests' logits change when they join a running batch at random times, and neighbours leave."""
    rows = decoding_rows(model)
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
        crowd.join(take_some(waiting, crowd.free, int(random.integers(0, 6))))
        crowd.step()
    together = crowd.answers()
    return sum(together.get(key) != alone[key] for key in alone)


def decode_requests(
    model: LanguageModel | TranslationModel,
    sequences: Sequence[Sequence[Step]],
    random: np.random.Generator,
    *,
    most_tokens: int = 12,
) -> list[DecodeRequest]:
    """A request for each prompt or source, every mode in turn, each for another number of tokens.

    Of the translations a fifth begins with tokens that are forced upon it.
    """
    last_id = text_specs(model.spec)[-1].vocabulary_size - 1
    requests = []
    for key, sequence in enumerate(sequences):
        limit = int(random.integers(1, most_tokens + 1))
        is_forced = isinstance(model, TranslationModel) and key % FORCED_EVERY == 0
        forced = random.integers(min(4, last_id - 1), last_id, limit).tolist() if is_forced else []
        token_ids = np.array(sequence, dtype=np.int64)
        requests.append(
            DecodeRequest(key, token_ids, _options(model, key, 2 * limit if forced else limit), tuple(forced))
        )
    return requests


def _options(model: LanguageModel | TranslationModel, key: int, limit: int) -> DecodeOptions:
    """Greedy, sampled, with cuts, several samples, beams of several widths."""
    attends = isinstance(model, TranslationModel) and model.has_attention
    last = text_specs(model.spec)[-1].vocabulary_size - 1
    biases = ((last - 1, 1.5), (last, -np.inf))
    modes = (
        DecodeOptions(limit),
        DecodeOptions(limit, Sampling(1.0, seed=key), keep_scores=True),
        DecodeOptions(limit, Sampling(1.3, top_k=40, top_p=0.9, min_p=0.01, seed=key), sample_count=3),
        DecodeOptions(limit, Sampling(0.8, seed=key), 2, Constraints(2, 1.3, 2, biases)),
        DecodeOptions(limit, beam_size=2, hypothesis_count=2, keep_attention=attends, keep_alignment=attends),
        DecodeOptions(limit, beam_size=5, hypothesis_count=3, length_penalty=0.6, coverage_penalty=0.2 * attends),
    )
    return modes[key % len(modes)]
