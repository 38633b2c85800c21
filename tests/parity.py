"""Every architecture exported and compared with PyTorch, on padded batches of mixed lengths.

`python -m tests.parity` prints the largest difference of each graph, and of each role; `tests/contract`
holds it to 1e-5. The graphs run as the service runs them. Weights are random and larger than training leaves them.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from service.bundle.graphs import check_graph
from service.bundle.manifest import GraphRole
from service.runtime.session import GraphSession, open_session
from training.data.encoding.batches import pad
from training.export.graphs.networks import classifier_graphs, labeller_graphs, language_model_graphs, seq2seq_graphs
from training.export.graphs.pooling import TIME_MULTIPLE
from training.export.graphs.writer import WrittenGraph
from training.models.classifier import Classifier
from training.models.labeller import Labeller
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq
from training.settings.model import ModelSettings

VOCABULARY, LABELS, FEATURES = 30, 3, 5
PAD = 0
CELLS = ("rnn", "lstm", "gru")
ONE_TABLE = {"scale_embeddings": True, "tie_weights": True, "share_embeddings": True}
EVERYTHING = {"residual": True, "layer_norm": True, **ONE_TABLE}
"""What may stand between layers, and one table for source, target and output."""
LENGTHS = ([1], [9], [5, 1, 12, 12, 3], list(range(1, 18)), [40, 2])
Graphs = Mapping[GraphRole, WrittenGraph]
Sessions = Mapping[GraphRole, GraphSession]
Differences = dict[GraphRole, float]


@dataclass(frozen=True)
class Case:
    """One architecture on one task."""

    task: str
    settings: ModelSettings

    def __str__(self) -> str:
        settings = self.settings
        words = [self.task, settings.cell, str(settings.layers), "both" if settings.bidirectional else "one"]
        if self.task == "translation":
            words.append(settings.attention or "no attention")
        options = (
            "residual",
            "layer_norm",
            "input_feeding",
            "scale_attention",
            "scale_embeddings",
            "tie_weights",
            "share_embeddings",
        )
        return "-".join([*words, *(name for name in options if getattr(settings, name))])


def architecture(cell: str, layers: int, **changes: object) -> ModelSettings:
    """Sizes that are small and all different."""
    sizes = {"cell": cell, "layers": layers, "embedding_size": 12, "hidden_size": 16}
    return ModelSettings.model_validate({**sizes, "dropout": 0.3, "weight_drop": 0.3, **changes})


def matrix() -> Iterator[Case]:
    """Cells x layers x directions x tasks, translators also x attention; then what can be added to each."""
    for cell, layers, both in product(CELLS, (1, 2), (False, True)):
        scaled = {"scale_embeddings": layers == 2}
        yield Case("classification", architecture(cell, layers, bidirectional=both, **scaled))
        yield Case("labelling words", architecture(cell, layers, bidirectional=both, **scaled))
        yield Case("labelling readings", architecture(cell, layers, bidirectional=both))
        yield Case("generation", architecture(cell, layers, tie_weights=both, **scaled))
        for attention in (None, "dot", "general", "additive"):
            tied = layers == 2
            scaled = {"scale_attention": tied and attention in {"dot", "general"}}
            yield Case(
                "translation",
                architecture(cell, layers, bidirectional=both, attention=attention, tie_weights=tied, **scaled),
            )
    for cell, between in product(
        CELLS, ({"residual": True}, {"layer_norm": True}, {"residual": True, "layer_norm": True})
    ):
        yield from _with_something_between(cell, between)
    for cell, both, attention in product(CELLS, (False, True), ("dot", "general", "additive")):
        fed = {"bidirectional": both, "attention": attention, "input_feeding": True}
        yield Case("translation", architecture(cell, 1, **fed))
        yield Case("translation", architecture(cell, 2, **fed, **EVERYTHING))


def _with_something_between(cell: str, between: dict[str, bool]) -> Iterator[Case]:
    """Three layers: the sum of what they read and give is made of more than one of them."""
    yield Case("generation", architecture(cell, 3, **between))
    for both in (False, True):
        yield Case("classification", architecture(cell, 3, bidirectional=both, **between))
        yield Case("labelling words", architecture(cell, 3, bidirectional=both, **between))
        yield Case("labelling readings", architecture(cell, 3, bidirectional=both, **between))
        yield Case("translation", architecture(cell, 3, bidirectional=both, attention="general", **between))


Write = Callable[..., dict[GraphRole, WrittenGraph]]


def export(case: Case) -> tuple[nn.Module, Write]:
    """Return a model with weights of a scale that gates notice, and what writes its graphs (precision, opset)."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    match case.task:
        case "classification":
            classifier = _shaken(Classifier(case.settings, VOCABULARY, LABELS))
            return classifier, partial(classifier_graphs, classifier)
        case "labelling words":
            tagger = _shaken(Labeller.of_words(case.settings, VOCABULARY, LABELS))
            return tagger, partial(labeller_graphs, tagger)
        case "labelling readings":
            labeller = _shaken(Labeller.of_features(case.settings, FEATURES, LABELS))
            return labeller, partial(labeller_graphs, labeller)
        case "generation":
            language_model = _shaken(LanguageModel(case.settings, VOCABULARY))
            return language_model, partial(language_model_graphs, language_model)
        case _:
            seq2seq = _shaken(Seq2Seq(case.settings, VOCABULARY, VOCABULARY))
            return seq2seq, partial(seq2seq_graphs, seq2seq)


def opened(graphs: Graphs, *, float16: bool = False) -> dict[GraphRole, GraphSession]:
    """Sessions of all graphs, checked and opened as the service does."""
    sessions: dict[GraphRole, GraphSession] = {}
    for role, graph in graphs.items():
        size = VOCABULARY if graph.signature.inputs[0].name == "token_ids" else None
        check_graph(graph.raw, graph.signature, where=role, vocabulary_size=size)
        sessions[role] = open_session(graph.raw, graph.signature, where=role, float16=float16)
    return sessions


@torch.no_grad()
def largest_differences(model: nn.Module, sessions: Sessions) -> Differences:
    """The largest absolute difference of each graph's outputs from the model's, over all batches."""
    worst: Differences = dict.fromkeys(sessions, 0.0)
    for role, found, expected in _runs(model, sessions):
        wanted = [tensor for tensor in expected if tensor is not None]
        for output, tensor in zip(found, wanted, strict=True):
            if output.shape != tuple(tensor.shape):
                raise ValueError(f"{role}: shape {output.shape}, PyTorch's is {tuple(tensor.shape)}")
            worst[role] = max(worst[role], float(np.abs(output - tensor.numpy()).max()))
    return worst


def batches(time_multiple: int = 1) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
    """Token ids and lengths: alone, of mixed lengths, and long beside short."""
    random = np.random.default_rng(0)
    for lengths in LENGTHS:
        sequences = [random.integers(3, VOCABULARY, length).tolist() for length in lengths]
        padded = pad(sequences, pad_id=PAD, time_multiple=time_multiple)
        yield padded.values, padded.lengths


def readings() -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
    """Rows of readings and lengths, as `batches`."""
    random = np.random.default_rng(0)
    for lengths in LENGTHS:
        padded = pad([random.normal(0, 1, (length, FEATURES)).astype(np.float32) for length in lengths], pad_id=PAD)
        yield padded.values, padded.lengths


Run = tuple[GraphRole, tuple[npt.NDArray[Any], ...], tuple[Tensor | None, ...]]


def _runs(model: nn.Module, sessions: Sessions) -> Iterator[Run]:
    match model:
        case Classifier():
            return _stateful_runs("classifier", model, sessions, batches())
        case Labeller():
            inputs = batches() if isinstance(model.embedding, nn.Embedding) else readings()
            return _stateful_runs("labeller", model, sessions, inputs)
        case LanguageModel():
            return _language_model_runs(model, sessions)
        case Seq2Seq():
            return _seq2seq_runs(model, sessions)
    raise ValueError(f"no runs are known for {type(model).__name__}")


def _stateful_runs(
    role: GraphRole,
    model: Classifier | Labeller,
    sessions: Sessions,
    batches: Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]],
) -> Iterator[Run]:
    for steps, lengths in batches:
        if model.state_size is None:
            yield role, sessions[role](steps, lengths), model(*_tensors(steps, lengths))[:1]
            continue
        inputs = (steps, lengths, _states(len(lengths), model.state_size))
        yield role, sessions[role](*inputs), model(*_tensors(*inputs))


def _language_model_runs(model: LanguageModel, sessions: Sessions) -> Iterator[Run]:
    for token_ids, lengths in batches():
        state = _states(len(lengths), model.state_size)
        at_once = (token_ids, lengths, state)
        yield "prefill", sessions["prefill"](*at_once), model.prefill(*_tensors(*at_once))
        one = (token_ids[:, 0].copy(), state)
        yield "step", sessions["step"](*one), model.step(*_tensors(*one))


def _seq2seq_runs(model: Seq2Seq, sessions: Sessions) -> Iterator[Run]:
    for token_ids, lengths in batches(time_multiple=TIME_MULTIPLE):
        source = model.encode(*_tensors(token_ids, lengths))
        yield "encoder", sessions["encoder"](token_ids, lengths), (source.keys, source.values, source.state)
        held = [tensor.numpy() for tensor in (source.keys, source.values) if tensor is not None]
        held += [lengths] if held else []
        state = source.state
        for previous in (token_ids[:, 0].copy(), token_ids[:, -1].copy(), token_ids[:, 0].copy()):
            found = sessions["decoder_step"](previous, state.numpy(), *held)
            ids = torch.from_numpy(previous)
            expected = model.decoder_step(ids, state, source.keys, source.values, torch.from_numpy(lengths))
            yield "decoder_step", found, expected
            state = expected[1]  # an encoder's feeds no vector; a step's does


def _shaken(model: Any) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def _states(row_count: int, size: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(1).uniform(-1, 1, (row_count, size)).astype(np.float32)


def _tensors(*arrays: npt.NDArray[Any]) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def main() -> None:
    """Print a row for each graph of each case, then one for each role."""
    by_role: dict[GraphRole, list[float]] = {}
    sys.stdout.write("| case | graph | largest difference |\n|---|---|---|\n")
    for case in matrix():
        model, write = export(case)
        for role, difference in largest_differences(model, opened(write())).items():
            sys.stdout.write(f"| {case} | {role} | {difference:.1e} |\n")
            by_role.setdefault(role, []).append(difference)
    sys.stdout.write("\n| graph | cases | largest difference |\n|---|---|---|\n")
    for role, differences in by_role.items():
        sys.stdout.write(f"| {role} | {len(differences)} | {max(differences):.1e} |\n")


if __name__ == "__main__":
    main()
