"""The recorded runs that prove an export: inputs that the project wrote, outputs from PyTorch.   Writes no file.

Each graph gets one row, several rows of mixed lengths with padding, and time 1; where a state is carried, one that is
not zero.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.bundle.manifest import (
    Classification,
    Generation,
    GraphRole,
    Labelling,
    TextSpec,
    Translation,
    WordInput,
)
from service.runtime.golden import GoldenCase
from service.text.words import encode_words
from training.data.encoding.batches import Steps, pad
from training.data.encoding.tokenization import BOS_ID, EOS_ID, PAD_ID
from training.errors import ExportError
from training.export.graphs.pooling import TIME_MULTIPLE
from training.export.graphs.writer import WrittenGraph
from training.export.trained import TrainedModel
from training.models.classifier import Classifier
from training.models.labeller import Labeller
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq

Array = npt.NDArray[Any]
Graphs = Mapping[GraphRole, WrittenGraph]

_REVIEWS = ("Bad.", "The film was great.", "I hoped for more, but the plot was dull and nobody laughed.")
_MELODIES = ("M:", "M:3/4\nL:1/8\nK:G\nG2AB", "M:4/4\nL:1/8\nK:Dm\nD2EF G2A2|")
_TAGGED = ("Rain.", "Mary Smith lives in New York", "He needs to work harder , Pavlos said about Srivatsan")
_SENTENCES = ("Run!", "The old man read a book.", "Two white horses slept near the house under the tall tree.")


def golden_cases(trained: TrainedModel, graphs: Graphs) -> list[GoldenCase]:
    """Run the network in PyTorch on every graph's golden inputs."""
    trained.network.eval()
    with torch.no_grad():
        match trained.network, trained.spec:
            case Classifier() as classifier, Classification() as spec:
                return list(_stateful_cases("classifier", classifier, _encoded(trained, spec.text, _REVIEWS), graphs))
            case Labeller() as labeller, Labelling() as spec:
                return list(_stateful_cases("labeller", labeller, _labeller_steps(trained, spec), graphs))
            case LanguageModel() as language_model, Generation() as spec:
                sequences = _encoded(trained, spec.text, _MELODIES, before=(BOS_ID,))
                return list(_language_model_cases(language_model, sequences, graphs))
            case Seq2Seq() as seq2seq, Translation() as spec:
                sequences = _encoded(trained, spec.source, _SENTENCES, after=(EOS_ID,))
                return list(_seq2seq_cases(seq2seq, sequences, graphs))
    raise ExportError(f"no golden inputs are known for {trained.spec.task}")


def _stateful_cases(
    role: GraphRole, model: Classifier | Labeller, sequences: Sequence[Steps], graphs: Graphs
) -> Iterator[GoldenCase]:
    state_size = model.state_size

    def logits_alone(steps: Tensor, lengths: Tensor) -> tuple[Tensor]:
        return (model(steps, lengths)[0],)

    for steps, lengths in _batches(sequences):
        if state_size is None:
            yield _case(role, graphs, logits_alone, steps, lengths)
            continue
        start = torch.zeros(len(steps), state_size)
        first = _case(role, graphs, model, steps, lengths, start)
        yield first
        yield _case(role, graphs, model, steps, lengths, _output(first, "next_state"))


def _labeller_steps(trained: TrainedModel, spec: Labelling) -> list[Steps]:
    """Sentences, or scaled readings drawn at random from within two scales of the mean."""
    if isinstance(spec.input, WordInput):
        tokenizer = trained.tokenizer(spec.input.text)
        return [encode_words(tokenizer, one.split(), spec.input.label_position).token_ids for one in _TAGGED]
    random, width = np.random.default_rng(0), len(spec.input.features)
    return [random.uniform(-2, 2, (length, width)).astype(np.float32) for length in (1, 5, 12)]


def _language_model_cases(model: LanguageModel, sequences: list[list[int]], graphs: Graphs) -> Iterator[GoldenCase]:
    for token_ids, lengths in _batches(sequences):
        logits, state = model.prefill(token_ids, lengths, torch.zeros(len(token_ids), model.state_size))
        step = _case("step", graphs, model.step, logits.argmax(dim=-1), state)
        yield step
        for start in (torch.zeros_like(state), _output(step, "next_state")) if "prefill" in graphs else ():
            yield _case("prefill", graphs, model.prefill, token_ids, lengths, start)


def _seq2seq_cases(model: Seq2Seq, sequences: list[list[int]], graphs: Graphs) -> Iterator[GoldenCase]:
    has_attention = model.attention is not None

    def encode(token_ids: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        source = model.encode(token_ids, lengths)
        if source.keys is None or source.values is None:
            return (source.state,)
        return source.keys, source.values, source.state

    def step(*inputs: Tensor) -> tuple[Tensor, ...]:
        token_ids, state, *source = inputs
        keys, values, lengths = source if has_attention else (None, None, token_ids)
        logits, state, attention = model.decoder_step(token_ids, state, keys, values, lengths)
        return (logits, state) if attention is None else (logits, state, attention)

    for token_ids, lengths in _batches(sequences, time_multiple=TIME_MULTIPLE):
        encoded = _case("encoder", graphs, encode, token_ids, lengths)
        yield encoded
        source = [_output(encoded, "keys"), _output(encoded, "values"), lengths] if has_attention else []
        begin = torch.full((len(token_ids),), BOS_ID)
        first = _case("decoder_step", graphs, step, begin, _output(encoded, "state"), *source)
        yield first
        yield _case("decoder_step", graphs, step, _likeliest(first), _output(first, "next_state"), *source)


def _encoded(
    trained: TrainedModel,
    text: TextSpec,
    texts: tuple[str, ...],
    *,
    before: tuple[int, ...] = (),
    after: tuple[int, ...] = (),
) -> list[list[int]]:
    tokenizer = trained.tokenizer(text)
    return [[*before, *tokenizer.encode(one), *after] for one in texts]


def _batches(sequences: Sequence[Steps], *, time_multiple: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Give one row; all rows, padded; and rows of a single token."""
    shapes = ((sequences[-1:], time_multiple), (sequences, time_multiple), ([ids[:1] for ids in sequences], 1))
    for rows, multiple in shapes:
        padded = pad(rows, pad_id=PAD_ID, time_multiple=multiple)
        yield torch.from_numpy(padded.values), torch.from_numpy(padded.lengths)


def _case(role: GraphRole, graphs: Graphs, run: Callable[..., tuple[Tensor, ...]], *inputs: Tensor) -> GoldenCase:
    signature = graphs[role].signature
    return GoldenCase(
        role,
        {tensor.name: _array(value) for tensor, value in zip(signature.inputs, inputs, strict=True)},
        {tensor.name: _array(value) for tensor, value in zip(signature.outputs, run(*inputs), strict=True)},
    )


def _array(tensor: Tensor) -> Array:
    return np.ascontiguousarray(tensor.numpy())


def _output(case: GoldenCase, name: str) -> Tensor:
    return torch.from_numpy(case.outputs[name])


def _likeliest(case: GoldenCase) -> Tensor:
    return _output(case, "logits").argmax(dim=-1)
