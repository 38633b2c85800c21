"""OpenNMT-py translating in batches with an RNN of the same sizes, weights as good as random.   In its own environment.

Speed depends on sizes alone, so it is trained for a few updates, and told to write answers as long as ours are.
"""

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from service.bundle.manifest import Translation
from service.bundle.store import open_bundle
from service.text.tokenizer import Tokenizer
from tests.bench.serving.contenders.jobs import Job
from tests.bench.serving.load.processes import ROOT
from tests.bench.serving.peers.environments import PEERS
from tests.bench.training_peers import peer_python

UPDATES, SENTENCES, END_SECONDS = 2, 2048, 600
_SPEED = re.compile(r"Tokens per second: ([\d.]+)")


@dataclass(frozen=True)
class OpenNmt:
    """A trained OpenNMT-py: where it runs and what it is called."""

    title: str
    python: Path
    folder: Path
    answer_tokens: int

    def tokens_per_second(self, batch_size: int, threads: int) -> float:
        """Target tokens per second of one translation of all sentences, loading not counted."""
        command = [str(self.python), "-m", "onmt.bin.translate", "-report_time", "-beam_size", "1"]
        command += ["-model", str(self.folder / f"model_step_{UPDATES}.pt"), "-src", str(self.folder / "train.source")]
        command += ["-output", str(self.folder / "output"), "-batch_size", str(batch_size)]
        command += ["-min_length", str(self.answer_tokens), "-max_length", str(self.answer_tokens)]
        output = _run(command, threads)
        found = _SPEED.search(output)
        if found is None:
            raise RuntimeError(f"OpenNMT-py told no speed: {output[-300:]}")
        return float(found[1])


def prepare_opennmt(job: Job, folder: Path) -> OpenNmt:
    """Install it, and train it for a few updates on the test sentences.

    Raises:
        subprocess.CalledProcessError: it did not install or train; its `stderr` says what.
    """
    peer = peer_python(PEERS, "opennmt")
    folder.mkdir(parents=True, exist_ok=True)
    _write_texts(job, folder)
    configuration = folder / "opennmt.yaml"
    configuration.write_text(json.dumps(_configuration(job, folder)), encoding="utf-8")
    _run([str(peer.path), "-m", "onmt.bin.train", "-config", str(configuration)], threads=1)
    return OpenNmt(peer.title, peer.path, folder, round(job.tokens_per_item) + 1)


def _write_texts(job: Job, folder: Path) -> None:
    """The sentences and their answers as token numbers between blanks, and the vocabularies."""
    bundle = open_bundle(job.folder)
    spec = bundle.manifest.spec
    if not isinstance(spec, Translation):
        raise TypeError(f"{job.name} does not translate")
    for side, text in (("source", spec.source), ("target", spec.target)):
        tokenizer = Tokenizer.from_bytes(bundle.files[text.tokenizer])
        lines = [tokenizer.encode(item.text if side == "source" else item.expected) for item in job.items]
        repeated = (lines * (SENTENCES // len(lines) + 1))[:SENTENCES]
        words = "".join(" ".join(f"t{number}" for number in line) + "\n" for line in repeated)
        (folder / f"train.{side}").write_text(words, encoding="utf-8")
        vocabulary = "".join(f"t{number}\t1\n" for number in range(text.vocabulary_size))
        (folder / f"vocabulary.{side}").write_text(vocabulary, encoding="utf-8")


def _configuration(job: Job, folder: Path) -> dict[str, object]:
    sizes = open_bundle(job.folder).manifest.architecture
    texts = {"path_src": str(folder / "train.source"), "path_tgt": str(folder / "train.target")}
    return {
        "save_data": str(folder / "saved"),
        "data": {"corpus": texts},
        "src_vocab": str(folder / "vocabulary.source"),
        "tgt_vocab": str(folder / "vocabulary.target"),
        "save_model": str(folder / "model"),
        "overwrite": True,
        "encoder_type": "brnn" if sizes.bidirectional else "rnn",
        "decoder_type": "rnn",
        "rnn_type": sizes.cell.upper(),
        "word_vec_size": sizes.embedding_size,
        "hidden_size": sizes.hidden_size,
        "layers": sizes.layers,
        "global_attention": "general",
        "input_feed": int(sizes.input_feeding),
        "batch_size": 16,
        "batch_type": "sents",
        "num_workers": 0,
        "train_steps": UPDATES,
        "report_every": 1,
        "valid_steps": 1_000_000,
        "save_checkpoint_steps": UPDATES,
        "seed": 1,
    }


def _run(command: list[str], threads: int) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
    environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # it reads its own files, which are pickles
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=END_SECONDS
    )
    return done.stdout + done.stderr
