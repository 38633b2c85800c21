"""What tensors each kind of model takes and gives: the one table that metadata, configuration and checks read.

Knows what `ModelInfo` tells of a model; docs/open-inference.md shows the same table to people.
"""

from dataclasses import dataclass

from service.serving.api import ModelInfo
from service.settings import MOST_TEXTS_PER_REQUEST
from service.transport.convert_labels import MOST_SEQUENCES
from service.transport.convert_translations import MOST_TEXTS

ANY = -1
"""A size that requests choose."""

ALSO_TAKEN = {"INT64": ("INT32",), "FP64": ("FP32",)}
"""Datatypes that are taken in the place of another, which holds all their values."""


@dataclass(frozen=True)
class Tensor:
    """A tensor by name. `dims` come after the batch."""

    name: str
    datatype: str
    dims: tuple[int, ...]
    optional: bool = False

    @property
    def taken(self) -> tuple[str, ...]:
        """Datatypes that an input may have, the one that is announced first."""
        return (self.datatype, *ALSO_TAKEN.get(self.datatype, ()))


@dataclass(frozen=True)
class Signature:
    """Tensors of one model. One that `streams` answers one request with many replies (decoupled, as Triton says)."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int
    streams: bool = False


_TEXTS = Tensor("texts", "BYTES", (1,), optional=True)
_TOKEN_IDS = Tensor("token_ids", "INT64", (ANY,), optional=True)
_LENGTHS = Tensor("lengths", "INT64", (1,), optional=True)
_GENERATION = Signature(
    (Tensor("prompt", "BYTES", (1,)),),
    (
        Tensor("text", "BYTES", (1,)),
        Tensor("finish_reason", "BYTES", (1,)),
        Tensor("sample_index", "INT64", (1,)),
        Tensor("first_token_index", "INT64", (1,)),
        Tensor("token_count", "INT64", (1,)),
    ),
    max_batch_size=1,
    streams=True,
)
_TRANSLATION = Signature(
    (Tensor("texts", "BYTES", (1,)), Tensor("target_prefixes", "BYTES", (1,), optional=True)),
    (
        Tensor("translations", "BYTES", (ANY,)),
        Tensor("scores", "FP32", (ANY,)),
        Tensor("token_counts", "INT64", (ANY,)),
        Tensor("finish_reasons", "BYTES", (ANY,)),
        Tensor("source_token_counts", "INT64", (1,)),
    ),
    max_batch_size=MOST_TEXTS,
)


def signature_of(info: ModelInfo) -> Signature:
    """The tensors of a model whose task is known.

    Raises:
        ValueError: it is not.
    """
    match info.task:
        case "generation":
            return _GENERATION
        case "translation":
            return _TRANSLATION
        case "classification":
            return Signature((_TEXTS, _TOKEN_IDS, _LENGTHS), _label_outputs(info, ()), MOST_TEXTS_PER_REQUEST)
        case "labelling":
            return _labelling(info)
        case _:
            raise ValueError(f"the task of {info.name}@{info.version} is not known")


def _labelling(info: ModelInfo) -> Signature:
    labels, lengths = _label_outputs(info, (ANY,)), Tensor("lengths", "INT64", (1,))
    if info.features:
        features = Tensor("features", "FP64", (ANY, len(info.features)))
        return Signature((features, _LENGTHS), (*labels, lengths), MOST_SEQUENCES)
    words = Tensor("words", "BYTES", (ANY,))
    return Signature((_TEXTS, _TOKEN_IDS, _LENGTHS), (*labels, words, lengths), MOST_SEQUENCES)


def _label_outputs(info: ModelInfo, steps: tuple[int, ...]) -> tuple[Tensor, ...]:
    """What is given of every sequence, or of every step: labels best first, and numbers in the model's order."""
    count = len(info.labels)
    return (
        Tensor("labels", "BYTES", (*steps, ANY)),
        Tensor("scores", "FP32", (*steps, ANY)),
        Tensor("logits", "FP32", (*steps, count)),
        Tensor("probabilities", "FP32", (*steps, count)),
    )
