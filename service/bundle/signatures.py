"""What each graph takes and gives, derived from the task's sizes.   Knows the manifest; opens no file.

Training declares its graphs with `signature`; opening a bundle compares what it declares with the same function.
"""

from dataclasses import dataclass

from service.bundle.manifest import (
    Classification,
    Generation,
    Graph,
    GraphRole,
    Labelling,
    Manifest,
    TaskSpec,
    TensorSpec,
    Translation,
    WordInput,
    text_specs,
)
from service.errors import BundleError

ROWS = "rows"
TIME = "time"
"""Names of the two free dimensions: sequences in the batch, tokens of the longest."""


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a graph, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def signature(spec: TaskSpec, role: GraphRole) -> Signature:
    """The signature that the graph `role` must have in a bundle with this `spec`.

    Raises:
        ValueError: the task has no such graph.
    """
    match spec, role:
        case Classification(), "classifier":
            return _classifier(spec)
        case Labelling(), "labeller":
            return _labeller(spec)
        case Generation(), "prefill":
            return _language_model(spec, _sequences())
        case Generation(), "step":
            return _language_model(spec, [_ids(ROWS)])
        case Translation(), "encoder":
            return Signature((*_sequences(),), (*_memory(spec), _state(spec.state_size)))
        case Translation(), "decoder_step":
            return _decoder_step(spec)
    raise ValueError(f"{spec.task} has no graph {role}")


def embedded_vocabulary_size(spec: TaskSpec, role: GraphRole) -> int | None:
    """How many tokens the graph's `token_ids` choose from; None for a graph that takes none."""
    texts = text_specs(spec)
    if not texts:
        return None
    return texts[1 if role == "decoder_step" else 0].vocabulary_size


def check_signatures(manifest: Manifest) -> None:
    """Compare every graph's declared signature with the one its role asks for.

    Raises:
        BundleError: names precision, graph, tensor and what was expected.
    """
    for precision, variant in manifest.variants.items():
        for role, graph in variant.graphs.items():
            _check_graph(f"variants.{precision}.graphs.{role}", graph, signature(manifest.spec, role))


def describe(tensors: list[TensorSpec] | tuple[TensorSpec, ...]) -> str:
    """One line for people: `token_ids int64[rows, time], lengths int64[rows]`."""
    return ", ".join(f"{one.name} {one.dtype}[{', '.join(map(str, one.shape))}]" for one in tensors)


def _check_graph(where: str, graph: Graph, expected: Signature) -> None:
    sides = (("inputs", graph.inputs, expected.inputs), ("outputs", graph.outputs, expected.outputs))
    for side, found, wanted in sides:
        if tuple(found) != wanted:
            raise BundleError(
                f"manifest.json: {where}.{side} must be ({describe(wanted)}), not ({describe(found)})", graph=where
            )


def _classifier(spec: Classification) -> Signature:
    logits = _floats("logits", ROWS, len(spec.labels))
    if spec.state_size is None:
        return Signature((*_sequences(),), (logits,))
    return Signature((*_sequences(), _state(spec.state_size)), (logits, _next_state(spec.state_size)))


def _labeller(spec: Labelling) -> Signature:
    if isinstance(spec.input, WordInput):
        steps = _ids(ROWS, TIME)
    else:
        steps = _floats("features", ROWS, TIME, len(spec.input.features))
    logits = _floats("logits", ROWS, TIME, len(spec.labels))
    if spec.state_size is None:
        return Signature((steps, _lengths()), (logits,))
    return Signature((steps, _lengths(), _state(spec.state_size)), (logits, _next_state(spec.state_size)))


def _language_model(spec: Generation, text: list[TensorSpec]) -> Signature:
    logits = _floats("logits", ROWS, spec.text.vocabulary_size)
    return Signature((*text, _state(spec.state_size)), (logits, _next_state(spec.state_size)))


def _decoder_step(spec: Translation) -> Signature:
    memory = _memory(spec)
    lengths = (_lengths(),) if memory else ()
    attention = (_floats("attention", ROWS, TIME),) if memory else ()
    logits = _floats("logits", ROWS, spec.target.vocabulary_size)
    inputs = (_ids(ROWS), _state(spec.state_size), *memory, *lengths)
    return Signature(inputs, (logits, _next_state(spec.state_size), *attention))


def _memory(spec: Translation) -> tuple[TensorSpec, ...]:
    """What the decoder attends to: nothing without attention."""
    if spec.key_size is None or spec.value_size is None:
        return ()
    return (_floats("keys", ROWS, TIME, spec.key_size), _floats("values", ROWS, TIME, spec.value_size))


def _sequences() -> list[TensorSpec]:
    return [_ids(ROWS, TIME), _lengths()]


def _ids(*shape: int | str) -> TensorSpec:
    return TensorSpec(name="token_ids", dtype="int64", shape=list(shape))


def _lengths() -> TensorSpec:
    return TensorSpec(name="lengths", dtype="int64", shape=[ROWS])


def _state(size: int) -> TensorSpec:
    return _floats("state", ROWS, size)


def _next_state(size: int) -> TensorSpec:
    """The state that comes out. Named apart from the one that goes in: names are unique within an ONNX graph."""
    return _floats("next_state", ROWS, size)


def _floats(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=list(shape))
