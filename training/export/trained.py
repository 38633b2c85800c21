"""What an export needs of a trained model, whoever holds it: the task of a run, or the weights in a bundle."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from service.bundle.manifest import (
    Classification,
    Generation,
    Labelling,
    TaskSpec,
    TextSpec,
    Translation,
    WordInput,
)
from service.text.tokenizer import Tokenizer
from training.errors import ExportError
from training.export.graphs.half import as_float16
from training.models.classifier import Classifier
from training.models.labeller import Labeller
from training.models.language_model import LanguageModel
from training.models.seq2seq import Seq2Seq
from training.settings.model import ModelSettings

AnyModel = Classifier | Labeller | LanguageModel | Seq2Seq


@dataclass(frozen=True)
class TrainedModel:
    """A network with what its bundle says of it.

    Attributes:
        settings: the architecture.
        spec: what it does, with every size, as the manifest has it.
        tokenizers: the bytes of each tokenizer, by the file name that `spec` gives.
        network: in evaluation mode.
    """

    settings: ModelSettings
    spec: TaskSpec
    tokenizers: Mapping[str, bytes]
    network: AnyModel

    def tokenizer(self, text: TextSpec) -> Tokenizer:
        """Return the tokenizer of one of the spec's texts."""
        return Tokenizer.from_bytes(self.tokenizers[text.tokenizer])


def new_network(settings: ModelSettings, spec: TaskSpec) -> AnyModel:
    """Build the untrained network that `training.tasks` build for such a task.

    Raises:
        ExportError: the architecture contradicts itself.
    """
    try:
        match spec:
            case Classification():
                return Classifier(settings, spec.text.vocabulary_size, len(spec.labels))
            case Labelling():
                return _new_labeller(settings, spec)
            case Generation():
                return LanguageModel(settings, spec.text.vocabulary_size)
            case Translation():
                return Seq2Seq(settings, spec.source.vocabulary_size, spec.target.vocabulary_size)
    except ValueError as error:
        raise ExportError(str(error)) from error


def _new_labeller(settings: ModelSettings, spec: Labelling) -> Labeller:
    if isinstance(spec.input, WordInput):
        return Labeller.of_words(settings, spec.input.text.vocabulary_size, len(spec.labels))
    return Labeller.of_features(settings, len(spec.input.features), len(spec.labels))


def own_tensors(network: AnyModel) -> dict[str, Tensor]:
    """Return every weight of a network once, by name: tied ones under the first of their names."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not any(tensor is other for other in tensors.values()):
            tensors[name] = tensor
    return tensors


def rounded_to_float16(trained: TrainedModel) -> TrainedModel:
    """Return a copy whose weights are float16 values, so that what is stored in float16 is what the graphs hold.

    Raises:
        ExportError: a weight is beyond float16.
    """
    network = copy.deepcopy(trained.network)
    with torch.no_grad():
        for name, tensor in own_tensors(network).items():
            if tensor.is_floating_point():
                tensor.copy_(torch.from_numpy(as_float16(tensor.detach().numpy(), name)))
    return replace(trained, network=network)
