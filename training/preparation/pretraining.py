"""Begins a model from the weights of another.   Knows names and shapes of weights; trains and reads nothing.

Layers are known by the names of their parts: every model of one text calls them `embedding` and `recurrent`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from training.errors import RecipeError
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq
from training.settings.model import ModelSettings
from training.settings.pretraining import PretrainingSettings
from training.tasks.base import Task, Text
from training.tasks.classification import ClassificationTask
from training.tasks.generation import GenerationTask
from training.tasks.labelling import LabellingTask
from training.tasks.translation import TranslationTask

_BACKWARD = "_reverse"
_LAYER = re.compile(r"\.(\d+)\.|_l(\d+)")
"""Where the name of a recurrent weight has the number of its layer."""
_LAYER_SETTINGS = ("cell", "layers", "embedding_size", "hidden_size", "residual", "layer_norm", "scale_embeddings")
_TRANSLATOR_SETTINGS = (
    *_LAYER_SETTINGS,
    "bidirectional",
    "attention",
    "scale_attention",
    "input_feeding",
    "tie_weights",
    "share_embeddings",
)
"""A translator is taken over whole; with input feeding it may begin from one without."""


@dataclass(frozen=True)
class Pretrained:
    """A trained model, as what another model begins from."""

    recipe: str
    """Its name."""
    settings: ModelSettings
    texts: tuple[Text, ...]
    """What it reads; of a translator source and target."""
    weights: Mapping[str, Tensor]

    @classmethod
    def of(cls, task: Task) -> Self:
        """Take what a trained task has.

        Raises:
            RecipeError: it labels readings.
        """
        texts: tuple[Text, ...]
        match task:
            case GenerationTask() | ClassificationTask():
                texts = (task.text,)
            case LabellingTask(reads=Text() as text):
                texts = (text,)
            case TranslationTask():
                texts = (task.source, task.target)
            case _:
                raise RecipeError(f"recipe {task.recipe.name} makes no model of text, for another to begin from")
        return cls(task.recipe.name, task.recipe.model, texts, task.model.state_dict())


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn at one pace."""

    parameters: tuple[nn.Parameter, ...]
    rate_factor: float = 1.0
    """Times the learning rate."""
    frozen_epochs: int = 0
    """They do not move in the first so many epochs."""


@torch.no_grad()
def begin_from(model: nn.Module, settings: ModelSettings, pretrained: Pretrained) -> None:
    """Copy the weights of the parts that both models have into `model`.

    Raises:
        RecipeError: the models differ in more than a backward direction and their output.
    """
    whole = isinstance(model, Seq2Seq)
    require_same_layers(settings, pretrained.settings, pretrained.recipe, whole=whole)
    parts = ("embedding", "recurrent", *(["readout"] if isinstance(model, LanguageModel) else []))
    own = {name: value for name, value in model.state_dict().items() if whole or _part(name) in parts}
    given = {name: value for name, value in pretrained.weights.items() if whole or _part(name) in parts}
    taken = {name for name in own if pretrained.settings.bidirectional or _BACKWARD not in name}
    for name in taken ^ given.keys():
        raise RecipeError(
            f"one model has {name}, and the other has not: [model] and that of {pretrained.recipe} differ"
        )
    for name, value in given.items():
        _copy(value, own[name], f"{name} of recipe {pretrained.recipe}")


def require_same_layers(settings: ModelSettings, begun: ModelSettings, recipe: str, *, whole: bool) -> None:
    """Raise RecipeError where weights of `recipe`, whose [model] is `begun`, would not fit; `whole` of a translator."""
    for name in _TRANSLATOR_SETTINGS if whole else _LAYER_SETTINGS:
        ours, theirs = getattr(settings, name), getattr(begun, name)
        if name == "input_feeding" and ours:
            continue  # a decoder that was not fed is one that hears nothing of what it is fed
        if ours != theirs:
            raise RecipeError(f"model.{name} is {ours}, in recipe {recipe}, to begin from, it is {theirs}")


def _copy(value: Tensor, target: Tensor, name: str) -> None:
    """Fill a weight; what else a layer reads in both directions is not heard at first."""
    widths = [size // other for size, other in zip(target.shape, value.shape, strict=True)]
    if any(size % other for size, other in zip(target.shape, value.shape, strict=True)) or max(widths) > 2:
        raise RecipeError(f"{name} has shape {list(value.shape)}, the model needs {list(target.shape)}")
    if max(widths) == 2 and target.ndim == 2:
        target.zero_()
    target[tuple(slice(size) for size in value.shape)] = value


def parameter_groups(model: nn.Module, settings: PretrainingSettings | None) -> list[ParameterGroup]:
    """Return all parameters, by the pace at which they learn: one group, or one per layer that was taken over."""
    if settings is None:
        return [ParameterGroup(tuple(model.parameters()))]
    by_depth: dict[int, list[nn.Parameter]] = {}
    named = list(model.named_parameters())
    layer_count = 1 + max(map(_layer, (name for name, _ in named)))
    for name, parameter in named:
        by_depth.setdefault(_depth(name, layer_count), []).append(parameter)
    return [
        ParameterGroup(
            tuple(parameters),
            rate_factor=settings.learning_rate_decay**-depth,
            frozen_epochs=depth if settings.gradual_unfreezing else 0,
        )
        for depth, parameters in sorted(by_depth.items())
    ]


def _depth(name: str, layer_count: int) -> int:
    """How far below the output a weight is that was taken over; 0 for what is new."""
    if _part(name) == "embedding":
        return layer_count + 1
    if _part(name) == "recurrent" and _BACKWARD not in name:
        return layer_count - _layer(name)
    return 0


def _layer(name: str) -> int:
    """Number of the recurrent layer that a weight belongs to, from 0; -1 for other weights."""
    found = _LAYER.search(name) if _part(name) == "recurrent" else None
    return int(found[1] or found[2]) if found else -1


def _part(name: str) -> str:
    return name.partition(".")[0]
