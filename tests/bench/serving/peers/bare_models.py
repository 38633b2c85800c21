"""The models of a bundle in a few lines over ONNX Runtime: text in, text out, a batch at a time.

What anyone would write who has the graphs and no service. The limit runs it in a bare loop, Triton and MLServer run it
as their own users' code; there it stands alone, so it imports nothing of this project.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import tokenizers

Array = npt.NDArray[Any]
Answer = tuple[str, int]
"""A text, and the tokens that were written for it, the end not counted; a label counts as one."""

Choose = Callable[[Array, int], Array]
"""Picks a token per row: [rows, vocabulary] logits to [rows] ids, where so many tokens stand before each."""

Run = Callable[..., list[Array]]
"""Runs a graph: its role, then its inputs."""

COMPACT_SHARE = 0.75
"""Rows that have ended are dropped once no more than this share goes on: moving the others costs time, too."""


def greedy(logits: Array, time: int) -> Array:
    """The likeliest token of each row, at any time."""
    del time
    best: Array = logits.argmax(axis=1)
    return best


class BareModel:
    """What the tasks share: manifest and tokenizers of a bundle, and something that runs its graphs.

    Args:
        folder: `<repository>/<name>/<version>`.
        run: runs the graph of a role on its inputs in the manifest's order; ONNX Runtime unless told otherwise.
    """

    def __init__(self, folder: Path, run: Run | None = None) -> None:
        self._folder = folder
        self.spec = manifest_of(folder)["spec"]
        self._run = run or onnx_run(folder)

    def _tokenizer(self, text: dict[str, Any]) -> tokenizers.Tokenizer:
        tokenizer = tokenizers.Tokenizer.from_file(str(self._folder / text["tokenizer"]))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        return tokenizer


class BareClassifier(BareModel):
    """Many to one."""

    def __init__(self, folder: Path, run: Run | None = None) -> None:
        super().__init__(folder, run)
        self._text = self._tokenizer(self.spec["text"])

    def answers(self, texts: list[str]) -> list[Answer]:
        """The best label of each text."""
        encoded = self._text.encode_batch_fast(texts, add_special_tokens=False)
        token_ids, lengths = _padded([one.ids for one in encoded], self.spec["text"]["pad_id"])
        start = self.spec.get("state_size")
        state = () if start is None else (np.zeros((len(texts), start), dtype=np.float32),)
        logits = self._run("classifier", token_ids, lengths, *state)[0]
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = weights / weights.sum(axis=1, keepdims=True)
        best = shares.argmax(axis=1)
        return [(self.spec["labels"][index], 1) for index in best.tolist()]


class BareTranslator(BareModel):
    """Encoder and decoder; a batch is encoded once, then stepped until every row has ended."""

    def __init__(self, folder: Path, run: Run | None = None, choose: Choose = greedy) -> None:
        super().__init__(folder, run)
        self._choose = choose
        self._source, self._target = self._tokenizer(self.spec["source"]), self._tokenizer(self.spec["target"])
        target = self.spec["target"]
        self._banned = [one for one in (target["pad_id"], target["bos_id"]) if one != target["eos_id"]]

    def answers(self, texts: list[str]) -> list[Answer]:
        """A translation of each text."""
        tokens, counts = self._decode(texts)
        rows = [row[:count] for row, count in zip(tokens.tolist(), counts.tolist(), strict=True)]
        translations = self._target.decode_batch(rows, skip_special_tokens=True)
        return list(zip(translations, counts.tolist(), strict=True))

    def _decode(self, texts: list[str]) -> tuple[Array, Array]:
        """Tokens [rows, time] and how many of each row count, its end left out."""
        source, target = self.spec["source"], self.spec["target"]
        encoded = self._source.encode_batch_fast(texts, add_special_tokens=False)
        ids = [[*one.ids, source["eos_id"]] for one in encoded]
        token_ids, lengths = _padded(ids, source["pad_id"], self.spec["time_multiple"])
        *memory, state = self._run("encoder", token_ids, lengths)
        memory = [*memory, lengths] if memory else []
        rows, current = np.arange(len(texts)), np.full(len(texts), target["bos_id"], dtype=np.int64)
        alive = np.ones(len(texts), dtype=np.bool_)
        tokens = np.zeros((len(texts), self.spec["max_output_token_count"]), dtype=np.int64)
        counts = np.zeros(len(texts), dtype=np.int64)
        for time in range(tokens.shape[1]):
            logits, state = self._run("decoder_step", current, state, *memory)[:2]
            logits[:, self._banned] = -np.inf
            current = self._choose(logits, time)
            alive &= current != target["eos_id"]
            tokens[rows, time] = current
            counts[rows] += alive
            going = np.flatnonzero(alive)
            if not going.size:
                break
            if going.size <= COMPACT_SHARE * rows.size:
                rows, current, state, alive = rows[going], current[going], state[going], alive[going]
                memory = [array[going] for array in memory]
        return tokens, counts


class BareGenerator(BareModel):
    """A language model; a batch of prompts is read once, then stepped."""

    def __init__(
        self, folder: Path, run: Run | None = None, token_count: int | None = None, choose: Choose = greedy
    ) -> None:
        super().__init__(folder, run)
        self._choose = choose
        text = self.spec["text"]
        self._text, self.eos_id = self._tokenizer(text), text["eos_id"]
        self._banned = [one for one in (text["pad_id"], text["bos_id"]) if one != text["eos_id"]]
        self._has_prefill = "prefill" in _graphs(folder)
        most = self.spec["max_output_token_count"]
        self._token_count = min(token_count or most, most)

    def answers(self, texts: list[str]) -> list[Answer]:
        """How each prompt goes on."""
        written: list[list[int]] = [[] for _ in texts]
        for step in self.steps(texts):
            for row, token in step:
                written[row].append(token)
        return [(self.decode(tokens), len(tokens)) for tokens in written]

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens."""
        found: str = self._text.decode(tokens, skip_special_tokens=True)
        return found

    def new_text(self) -> Callable[[int], str]:
        """Something that takes a text's tokens one by one, and gives what each adds to it, often a character."""
        stream = tokenizers.decoders.DecodeStream(skip_special_tokens=True)
        return lambda token: stream.step(self._text, token) or ""

    def steps(self, prompts: list[str]) -> Iterator[list[tuple[int, int]]]:
        """Yield, step by step, (row, token) of every row that has not ended."""
        spec = self.spec["text"]
        encoded = self._text.encode_batch_fast(prompts, add_special_tokens=False)
        token_ids, lengths = _padded([[spec["bos_id"], *one.ids] for one in encoded], spec["pad_id"])
        logits, state = self._read(token_ids, lengths)
        rows = np.arange(len(prompts))
        for time in range(self._token_count):
            logits[:, self._banned] = -np.inf
            current = self._choose(logits, time)
            alive = current != self.eos_id
            rows, current, state = rows[alive], current[alive], state[alive]
            yield list(zip(rows.tolist(), current.tolist(), strict=True))
            if not rows.size or time + 1 == self._token_count:
                return
            logits, state = self._run("step", current, state)

    def _read(self, token_ids: Array, lengths: Array) -> tuple[Array, Array]:
        """Read prompts [rows, time]: the logits [rows, vocabulary] after each, and the state there."""
        state = np.zeros((len(token_ids), self.spec["state_size"]), dtype=np.float32)
        if self._has_prefill:
            logits, state = self._run("prefill", token_ids, lengths, state)
            return logits, state
        logits = np.empty((len(token_ids), self.spec["text"]["vocabulary_size"]), dtype=np.float32)
        for time in range(token_ids.shape[1]):
            reading = np.flatnonzero(time < lengths)
            logits[reading], state[reading] = self._run("step", token_ids[reading, time], state[reading])
        return logits, state


AnyBareModel = BareClassifier | BareTranslator | BareGenerator


def load(folder: Path, run: Run | None = None, token_count: int | None = None, choose: Choose = greedy) -> AnyBareModel:
    """Open the model that a folder holds, whatever its task; a generation has at most so many tokens."""
    task = manifest_of(folder)["spec"]["task"]
    if task == "generation":
        return BareGenerator(folder, run, token_count, choose)
    return BareClassifier(folder, run) if task == "classification" else BareTranslator(folder, run, choose)


def manifest_of(folder: Path) -> dict[str, Any]:
    """What a bundle says of itself; it was checked by whoever serves it."""
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found


def onnx_run(folder: Path, threads: int = 1) -> Run:
    """Runs the graphs of a bundle's default precision, with so many threads each."""
    sessions = {role: _session(folder / graph["file"], threads) for role, graph in _graphs(folder).items()}
    names = {role: [one.name for one in session.get_inputs()] for role, session in sessions.items()}

    def run(role: str, *inputs: Array) -> list[Array]:
        found: list[Array] = sessions[role].run(None, dict(zip(names[role], inputs, strict=True)))
        return found

    return run


def _graphs(folder: Path) -> dict[str, Any]:
    manifest = manifest_of(folder)
    found: dict[str, Any] = manifest["variants"][manifest["default_precision"]]["graphs"]
    return found


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _padded(sequences: list[list[int]], pad_id: int, multiple: int = 1) -> tuple[Array, Array]:
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    time = -(-int(lengths.max()) // multiple) * multiple
    token_ids = np.full((len(sequences), time), pad_id, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        token_ids[row, : len(sequence)] = sequence
    return token_ids, lengths
