"""What an engine runs of a model that is open: its rows, its batches, a typical one of those.   Runs nothing."""

from collections.abc import Callable
from functools import partial

import numpy as np

from service.bundle.manifest import text_specs
from service.engine.batches import pad_features, pad_ids
from service.engine.rows import GenerationRows, TranslationRows
from service.engine.steps import RowModel, Step
from service.runtime.bound import BoundStep
from service.runtime.models import ClassifierModel, LabellerModel, LanguageModel, LoadedModel, TranslationModel
from service.serving.engines.batcher import BatchedGraph, Carrying
from service.serving.engines.resident import ResidentRows

TYPICAL_TOKEN_COUNT = 32
"""Length of the sequences by which a model's batch size is learned; less where the model takes less."""

FIRST_ID = 0
"""A token id that every vocabulary has."""


def batched_graph(model: ClassifierModel | LabellerModel) -> BatchedGraph:
    """How the rows of a classifier or labeller are padded and run."""
    texts = text_specs(model.spec)
    stack = partial(pad_ids, pad_id=texts[0].pad_id) if texts else pad_features
    name, run, run_from = (
        ("classifier", model.classify, model.classify_from)
        if isinstance(model, ClassifierModel)
        else ("labeller", model.label, model.label_from)
    )
    size = model.spec.state_size
    return BatchedGraph(name, stack, run, None if size is None else Carrying(size, run_from))


def decoding_rows(model: LanguageModel | TranslationModel) -> RowModel:
    """A language model or translator as rows that start and step."""
    return GenerationRows(model) if isinstance(model, LanguageModel) else TranslationRows(model)


def learns_batch_size(model: LoadedModel) -> bool:
    """Whether anything depends on how many sequences are enough for a run: batches, or the slices of prompts.

    Sources are read whole, and all that wait before the same step.
    """
    if isinstance(model, LanguageModel):
        return not model.reads_by_step
    return isinstance(model, ClassifierModel | LabellerModel)


def resident_rows(model: LanguageModel | TranslationModel, slots: int) -> ResidentRows:
    """The same, with state and sources of `slots` rows kept where the model runs."""
    step = model.sessions["step" if isinstance(model, LanguageModel) else "decoder_step"]
    return ResidentRows(decoding_rows(model), BoundStep(step, rows=slots))


def typical_run(model: LoadedModel) -> Callable[[int], object]:
    """What reads so many sequences of TYPICAL_TOKEN_COUNT tokens at once, with the graph that reads whole ones."""
    length = min(TYPICAL_TOKEN_COUNT, model.spec.max_token_count)
    if isinstance(model, LanguageModel | TranslationModel):
        starts = decoding_rows(model).start
        sequence = np.full(length, FIRST_ID, dtype=np.int64)
        return lambda size: starts([sequence] * size, [None] * size)
    graph = batched_graph(model)
    reads_ids = bool(text_specs(model.spec))
    step: Step = FIRST_ID if reads_ids else [0.0] * int(model.sessions["labeller"].graph.inputs[0].shape[2])
    return lambda size: graph.run(*graph.pad([[step] * length] * size))
