"""Tiny valid bundles with random weights, for every task: what tests serve instead of trained models.   No torch."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from service.bundle.manifest import (
    FORMAT,
    Architecture,
    Classification,
    Feature,
    FeatureInput,
    Generation,
    Golden,
    Graph,
    GraphRole,
    Labelling,
    Manifest,
    Producer,
    TaskSpec,
    TextSpec,
    Translation,
    Variant,
    WordInput,
)
from service.bundle.signatures import signature
from service.bundle.store import file_entry, publish_bundle
from service.runtime.golden import GoldenCase, record_case, write_golden
from service.runtime.session import open_session
from tests.graph_writer import EMBEDDING, OPSET, GraphWriter

Array = NDArray[Any]

HIDDEN = 8
SOURCE_HIDDEN = 12
TIME_MULTIPLE = 16
SPECIAL_TOKENS = ["<pad>", "<bos>", "<eos>", "<unk>"]
PAD, BOS, EOS, UNK = range(4)

REVIEWS = ["a good film", "a bad film", "the plot is dull and the cast is good", "I loved it!", "I hated every minute."]
TAGGED = ["He needs to work harder, Pavlos said about Srivatsan", "Mary Smith lives in New York", "It rains in Rome"]
MELODIES = ["X:1\nK:G\nGABc d2e2|", "X:2\nM:3/4\nK:Dm\nA2 F2 D2|^c4 z2|"]
ENGLISH = ["The black dog jumped over the cat", "The white cat slept under the table", "A child ate the red apple."]
ITALIAN = ["Il cane nero saltò sopra il gatto", "Il gatto bianco dormì sotto il tavolo", "Un bambino mangiò la mela."]


def tiny_bundle(
    task: str, *, name: str | None = None, version: int = 1, seed: int = 0, plain: bool = False
) -> tuple[Manifest, dict[str, bytes]]:
    """A valid bundle of `task`: manifest, and files by name.

    Tasks are those of the manifest, and `labelling-features`, which labels rows of readings; `labelling` tags words.
    Weights are random but the same for the same seed. Golden outputs are the graphs' own. `plain` leaves out what a
    model may lack: a classifier or labeller reads both directions and carries no state, a translator has no attention.
    """
    spec, variant, files = _build(task, seed, plain)
    manifest = Manifest(
        format=FORMAT,
        name=name or f"tiny-{task}",
        version=version,
        created_time="2026-01-02T03:04:05Z",
        producer=Producer(
            seqserve="0.1.0", torch="2.13.0", onnx=onnx.__version__, recipe="tiny", recipe_sha256="0" * 64, seed=seed
        ),
        architecture=_architecture(task, plain),
        spec=spec,
        default_precision="fp32",
        variants={"fp32": variant},
        files={file: file_entry(data) for file, data in files.items()},
    )
    return manifest, dict(files)


def rehashed(manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """The manifest with sizes and hashes of `files`: what someone writes who changes a file and knows the format."""
    return manifest.model_copy(update={"files": {name: file_entry(data) for name, data in files.items()}})


@cache
def _build(task: str, seed: int, plain: bool) -> tuple[TaskSpec, Variant, Mapping[str, bytes]]:
    files, spec, graphs = _PARTS[task](np.random.default_rng(seed), plain)
    declared = {role: _declare(spec, role) for role in graphs}
    files |= {declared[role].file: raw for role, raw in graphs.items()}
    files["golden.fp32.npz"] = _golden(spec, declared, files)
    files["MODEL_CARD.md"] = b"# A tiny model\n\nRandom weights, for tests.\n"
    golden = Golden(
        file="golden.fp32.npz",
        reference="self",
        absolute_tolerance=1e-5,
        relative_tolerance=1e-4,
        deviation_from_fp32=0.0,
        instruction_sets=[],
    )
    return spec, Variant(graphs=declared, golden=golden), files


def publish_tiny(
    repository: Path, task: str, *, name: str | None = None, version: int = 1, seed: int = 0, plain: bool = False
) -> Path:
    """Publish `tiny_bundle(task, ...)` in `repository` and return its folder."""
    return publish_bundle(repository, *tiny_bundle(task, name=name, version=version, seed=seed, plain=plain))


Parts = tuple[dict[str, bytes], TaskSpec, dict[GraphRole, bytes]]
"""Tokenizer files, sizes, graphs."""


def _classification(random: np.random.Generator, plain: bool) -> Parts:
    tokenizer, size = words_tokenizer(REVIEWS)
    spec = Classification(
        task="classification",
        text=_text("tokenizer.json", size, language="en"),
        labels=["negative", "positive"],
        max_token_count=64,
        state_size=None if plain else 2 * HIDDEN,
    )
    graph = _classifier_of_both_directions if plain else _classifier
    return {"tokenizer.json": tokenizer}, spec, {"classifier": graph(random, spec)}


def _classifier_of_both_directions(random: np.random.Generator, spec: Classification) -> bytes:
    graph = GraphWriter(random)
    _, hidden, _ = graph.lstm(*graph.sequences(spec.text.vocabulary_size), (), HIDDEN, both=True)
    last = graph.one("Transpose", hidden, perm=[1, 0, 2])  # [rows, 2, hidden]
    last = graph.one("Reshape", last, graph.constant([0, 2 * HIDDEN]))
    return graph.finish(spec, "classifier", logits=graph.linear(last, 2 * HIDDEN, len(spec.labels)))


def _classifier(random: np.random.Generator, spec: Classification) -> bytes:
    graph = GraphWriter(random)
    embedded, lengths = graph.sequences(spec.text.vocabulary_size)
    _, hidden, cell = graph.lstm(embedded, lengths, graph.halves("state", HIDDEN), HIDDEN)
    last = graph.squeeze(hidden, 0)  # [rows, hidden]
    state = graph.one("Concat", last, graph.squeeze(cell, 0), axis=1)
    return graph.finish(spec, "classifier", logits=graph.linear(last, HIDDEN, len(spec.labels)), next_state=state)


def _labelling(random: np.random.Generator, plain: bool) -> Parts:
    tokenizer, size = words_tokenizer(TAGGED)
    spec = Labelling(
        task="labelling",
        input=WordInput(
            kind="words",
            text=_text("tokenizer.json", size, language="en"),
            split="tokenizer",
            label_position="first",
        ),
        labels=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
        scheme="bio",
        max_token_count=64,
        state_size=None if plain else 2 * HIDDEN,
    )
    return {"tokenizer.json": tokenizer}, spec, {"labeller": _labeller(random, spec)}


def _labelling_of_features(random: np.random.Generator, plain: bool) -> Parts:
    spec = Labelling(
        task="labelling",
        input=FeatureInput(
            kind="features",
            features=[
                Feature(name="temperature", unit="Cel", mean=12.5, scale=8.0, imputation="refuse"),
                Feature(name="humidity", unit="%", mean=70.0, scale=15.0, imputation=70.0),
                Feature(name="wind", unit="m/s", mean=3.2, scale=1.5, imputation="refuse"),
            ],
        ),
        labels=["dry", "rain"],
        scheme="plain",
        max_token_count=64,
        state_size=None if plain else 2 * HIDDEN,
    )
    return {}, spec, {"labeller": _labeller(random, spec)}


def _labeller(random: np.random.Generator, spec: Labelling) -> bytes:
    graph = GraphWriter(random)
    if isinstance(spec.input, WordInput):
        width = EMBEDDING
        values, lengths = graph.sequences(spec.input.text.vocabulary_size)
    else:
        width = len(spec.input.features)
        values, lengths = graph.one("Transpose", "features", perm=[1, 0, 2]), graph.lengths()
    both = spec.state_size is None
    start = () if both else graph.halves("state", HIDDEN)
    outputs, hidden, cell = graph.lstm(values, lengths, start, HIDDEN, width=width, both=both)
    steps = graph.one("Transpose", outputs, perm=[2, 0, 1, 3])  # [rows, time, directions, hidden]
    size = 2 * HIDDEN if both else HIDDEN
    steps = graph.one("Reshape", steps, graph.constant([0, 0, size]))
    scores = graph.one("MatMul", steps, graph.weight(size, len(spec.labels)))
    logits = graph.one("Add", scores, graph.weight(len(spec.labels)))
    if both:
        return graph.finish(spec, "labeller", logits=logits)
    state = graph.one("Concat", graph.squeeze(hidden, 0), graph.squeeze(cell, 0), axis=1)
    return graph.finish(spec, "labeller", logits=logits, next_state=state)


def _generation(random: np.random.Generator, plain: bool) -> Parts:
    tokenizer, size = characters_tokenizer(MELODIES)
    spec = Generation(
        task="generation",
        text=_text("tokenizer.json", size, language=None),
        max_token_count=128,
        max_output_token_count=256,
        state_size=HIDDEN,
    )
    seed = int(random.integers(2**32))
    roles: tuple[GraphRole, ...] = ("step",) if plain else ("prefill", "step")
    graphs = {role: _language_model(np.random.default_rng(seed), spec, role) for role in roles}
    return {"tokenizer.json": tokenizer}, spec, graphs


def _language_model(random: np.random.Generator, spec: Generation, role: GraphRole) -> bytes:
    """Prefill and step draw the same weights in the same order, and differ only in how tokens come in."""
    graph = GraphWriter(random)
    if role == "prefill":
        embedded, lengths = graph.sequences(spec.text.vocabulary_size)
    else:
        embedded, lengths = graph.embed(graph.unsqueeze("token_ids", 0), spec.text.vocabulary_size), ""
    weights = (graph.weight(1, 3 * HIDDEN, EMBEDDING), graph.weight(1, 3 * HIDDEN, HIDDEN), graph.weight(1, 6 * HIDDEN))
    start = graph.unsqueeze("state", 0)
    _, hidden = graph.add("GRU", embedded, *weights, lengths, start, hidden_size=HIDDEN, linear_before_reset=1, count=2)
    state = graph.squeeze(hidden, 0)  # [rows, hidden]
    return graph.finish(spec, role, logits=graph.linear(state, HIDDEN, spec.text.vocabulary_size), next_state=state)


def _translation(random: np.random.Generator, plain: bool) -> Parts:
    source, source_size = bytes_tokenizer(ENGLISH)
    target, target_size = bytes_tokenizer(ITALIAN)
    spec = Translation(
        task="translation",
        source=_text("source.tokenizer.json", source_size, language="en"),
        target=_text("target.tokenizer.json", target_size, language="it"),
        max_token_count=64,
        max_output_token_count=48,
        state_size=2 * HIDDEN,
        key_size=None if plain else HIDDEN,
        value_size=None if plain else SOURCE_HIDDEN,
        time_multiple=TIME_MULTIPLE,
    )
    files = {"source.tokenizer.json": source, "target.tokenizer.json": target}
    return files, spec, {"encoder": _encoder(random, spec), "decoder_step": _decoder_step(random, spec)}


def _encoder(random: np.random.Generator, spec: Translation) -> bytes:
    graph = GraphWriter(random)
    embedded, lengths = graph.sequences(spec.source.vocabulary_size)
    outputs, hidden, _ = graph.lstm(embedded, lengths, (), SOURCE_HIDDEN)
    state = graph.one("Tanh", graph.linear(graph.squeeze(hidden, 0), SOURCE_HIDDEN, 2 * HIDDEN))
    if spec.key_size is None:
        return graph.finish(spec, "encoder", state=state)
    values = graph.one("Transpose", graph.squeeze(outputs, 1), perm=[1, 0, 2])  # [rows, time, source_hidden]
    keys = graph.one("MatMul", values, graph.weight(SOURCE_HIDDEN, HIDDEN))  # [rows, time, hidden]
    return graph.finish(spec, "encoder", keys=keys, values=values, state=state)


def _decoder_step(random: np.random.Generator, spec: Translation) -> bytes:
    graph = GraphWriter(random)
    embedded = graph.embed(graph.unsqueeze("token_ids", 0), spec.target.vocabulary_size)  # [1, rows, embedding]
    _, hidden, cell = graph.lstm(embedded, "", graph.halves("state", HIDDEN), HIDDEN)
    last = graph.squeeze(hidden, 0)  # [rows, hidden]
    state = graph.one("Concat", last, graph.squeeze(cell, 0), axis=1)
    size = spec.target.vocabulary_size
    if spec.key_size is None:
        return graph.finish(spec, "decoder_step", logits=graph.linear(last, HIDDEN, size), next_state=state)
    context, weights = _attend(graph, hidden)
    both = graph.one("Concat", context, last, axis=1)
    mixed = graph.one("Tanh", graph.linear(both, SOURCE_HIDDEN + HIDDEN, HIDDEN))
    logits = graph.linear(mixed, HIDDEN, size)
    return graph.finish(spec, "decoder_step", logits=logits, next_state=state, attention=weights)


def _attend(graph: GraphWriter, hidden: str) -> tuple[str, str]:
    """Context [rows, source_hidden] and weights [rows, time] of `hidden` [1, rows, hidden]."""
    query = graph.one("Transpose", hidden, perm=[1, 0, 2])  # [rows, 1, hidden]
    scores = graph.one("MatMul", query, graph.one("Transpose", "keys", perm=[0, 2, 1]))  # [rows, 1, time]
    masked = graph.one("Where", _is_real(graph), scores, graph.constant(-1e30, "float32"))
    weights = graph.one("Softmax", masked, axis=-1)  # exactly 0 on padding
    return graph.squeeze(graph.one("MatMul", weights, "values"), 1), graph.squeeze(weights, 1)


def _is_real(graph: GraphWriter) -> str:
    """[rows, 1, time], true where a position is before its row's length."""
    time = graph.one("Gather", graph.one("Shape", "keys"), graph.constant(1))
    positions = graph.one("Range", graph.constant(0), time, graph.constant(1))
    lengths = graph.one("Unsqueeze", "lengths", graph.constant([1, 2]))  # [rows, 1, 1]
    return graph.one("Less", positions, lengths)


_PARTS = {
    "classification": _classification,
    "labelling": _labelling,
    "labelling-features": _labelling_of_features,
    "generation": _generation,
    "translation": _translation,
}


def words_tokenizer(texts: Sequence[str]) -> tuple[bytes, int]:
    """A tokenizer of whole words, and its size."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return _train(tokenizer, trainers.WordLevelTrainer(special_tokens=SPECIAL_TOKENS), texts)


def characters_tokenizer(texts: Sequence[str]) -> tuple[bytes, int]:
    """A tokenizer of single characters, and its size."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return _train(tokenizer, trainers.WordLevelTrainer(special_tokens=SPECIAL_TOKENS), texts)


def bytes_tokenizer(texts: Sequence[str]) -> tuple[bytes, int]:
    """A byte-level BPE tokenizer, and its size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL_TOKENS[:3],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return _train(tokenizer, trainer, texts)


def _train(tokenizer: Tokenizer, trainer: Any, texts: Sequence[str]) -> tuple[bytes, int]:
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str().encode(), tokenizer.get_vocab_size()


def _text(file: str, size: int, *, language: str | None) -> TextSpec:
    return TextSpec(tokenizer=file, vocabulary_size=size, pad_id=PAD, bos_id=BOS, eos_id=EOS, language=language)


def _architecture(task: str, plain: bool) -> Architecture:
    return Architecture(
        cell="gru" if task == "generation" else "lstm",
        layers=1,
        bidirectional=plain and task.startswith(("classification", "labelling")),
        embedding_size=EMBEDDING,
        hidden_size=HIDDEN,
        attention="general" if task == "translation" and not plain else None,
        parameter_count=1000,
    )


def _declare(spec: TaskSpec, role: GraphRole) -> Graph:
    declared = signature(spec, role)
    file = f"{role}.fp32.onnx"
    return Graph(file=file, opset=OPSET, inputs=list(declared.inputs), outputs=list(declared.outputs))


def _golden(spec: TaskSpec, graphs: Mapping[GraphRole, Graph], files: Mapping[str, bytes]) -> bytes:
    cases: list[GoldenCase] = []
    for role, graph in graphs.items():
        run = open_session(files[graph.file], graph, where=graph.file)
        inputs = (golden_inputs(spec, graph, lengths) for lengths in ([5], [7, 2, 9], [1]))
        cases += [record_case(role, graph, run, arrays) for arrays in inputs]
    return write_golden(cases)


def golden_inputs(spec: TaskSpec, graph: Graph, lengths: Sequence[int], *, seed: int = 0) -> list[Array]:
    """Inputs for one run of a graph: random ids and values, padding beyond each row's length."""
    random = np.random.default_rng(seed)
    longest = max(lengths)
    if isinstance(spec, Translation):
        longest = -(-longest // spec.time_multiple) * spec.time_multiple
    real = np.arange(longest) < np.asarray(lengths)[:, None]  # [rows, time]
    ids = np.where(real, random.integers(EOS + 1, 20, real.shape), PAD)
    made: dict[str, Array] = {"lengths": np.asarray(lengths, dtype=np.int64)}
    for tensor in graph.inputs:
        shape = [{"rows": len(lengths), "time": longest}.get(str(size), size) for size in tensor.shape]
        if tensor.name == "token_ids":
            made["token_ids"] = ids if len(shape) == 2 else ids[:, 0]
        elif tensor.name != "lengths":
            made[tensor.name] = random.normal(0, 0.5, shape).astype(np.float32)  # type: ignore[arg-type]
    return [made[tensor.name] for tensor in graph.inputs]
