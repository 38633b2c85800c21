"""JoeyNMT and OpenNMT-py: installed into environments of their own, told to train the bench's model.

Both ask for an older torch than there is for this Python; they run on the project's version, so they are installed
without their dependencies, which follow by name.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.training_contenders import CLIP, DROPOUT, EMBEDDING, HIDDEN, LEARNING_RATE, SENTENCES, SMOOTHING

ROOT = Path(__file__).parents[2]
OPENNMT_SIZE = 288
"""OpenNMT-py halves an encoder of both directions; with this size it has as many parameters as the others."""

_TORCH = ("filelock", "fsspec", "jinja2", "networkx", "numpy", "setuptools<80", "sympy", "typing-extensions")


@dataclass(frozen=True)
class Peer:
    """An installed peer."""

    title: str
    path: Path
    """Its Python."""


@dataclass(frozen=True)
class _Package:
    requirement: str
    dependencies: tuple[str, ...]


_PACKAGES = {
    "joeynmt": _Package(
        "joeynmt==2.3.0",
        (
            *(
                "importlib_metadata",
                "matplotlib",
                "packaging",
                "pandas",
                "pyyaml",
                "sacrebleu",
                "sacremoses",
                "seaborn",
            ),
            *("sentencepiece", "subword-nmt", "tensorboard", "datasets"),
        ),
    ),
    "opennmt": _Package(
        "OpenNMT-py==3.5.1",
        (
            *("configargparse", "ctranslate2", "fasttext-wheel", "flask", "pyahocorasick", "pyonmttok", "pyyaml"),
            *("rapidfuzz", "sacrebleu", "six", "spacy", "tensorboard", "waitress"),
        ),
    ),
}


def peer_python(folder: Path, name: str) -> Peer:
    """Return a peer's Python, installing it on first use.

    Raises:
        subprocess.CalledProcessError: something did not install; its `stderr` says what.
    """
    package, environment = _PACKAGES[name], folder / name
    python, installed = environment / "bin" / "python", environment / ".installed"
    if not installed.exists():
        _run([sys.executable, "-m", "venv", str(environment)])
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, f"torch=={_torch_version()}", *_TORCH])
        _run([*pip, "--no-deps", package.requirement])
        _run([*pip, *package.dependencies])
        installed.touch()
    return Peer(package.requirement.replace("==", " "), python)


def _torch_version() -> str:
    command = [sys.executable, "-c", "import torch; print(torch.__version__.split('+')[0])"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)


_JOEYNMT_SIDE = {"max_length": 200, "lowercase": False, "level": "word", "tokenizer_type": "none"}
_JOEYNMT_LAYERS = {
    "type": "recurrent",
    "rnn_type": "lstm",
    "embeddings": {"embedding_dim": EMBEDDING, "scale": False, "dropout": DROPOUT},
    "hidden_size": HIDDEN,
    "num_layers": 1,
    "dropout": DROPOUT,
}
_JOEYNMT_DECODER = {**_JOEYNMT_LAYERS, "hidden_dropout": DROPOUT, "init_hidden": "bridge", "attention": "luong"}
_JOEYNMT_TRAINING = {
    "random_seed": 1,
    "optimizer": "adam",
    "scheduling": "warmupinversesquareroot",
    "learning_rate": LEARNING_RATE,
    "learning_rate_warmup": 1000,
    "clip_grad_norm": CLIP,
    "batch_size": SENTENCES,
    "batch_type": "sentence",
    "normalization": "tokens",
    "label_smoothing": SMOOTHING,
    "epochs": 10,
    "validation_freq": 1_000_000,
    "overwrite": True,
    "shuffle": True,
}


def joeynmt_command(python: Path, folder: Path, feeding: bool, updates: int, every: int) -> list[str]:
    """Write JoeyNMT's configuration (YAML, of which JSON is a part) and return its command."""
    source, target = (
        {**_JOEYNMT_SIDE, "lang": side, "voc_file": str(folder / f"vocabulary.{side}")} for side in ("source", "target")
    )
    parts = {"train": str(folder / "train"), "dev": str(folder / "valid")}
    configuration = {
        "name": "speed",
        "joeynmt_version": "2.3.0",
        "model_dir": str(folder / "joeynmt"),
        "use_cuda": False,
        "data": {**parts, "dataset_type": "plain", "src": source, "trg": target},
        "testing": {"beam_size": 1, "eval_metrics": ["bleu"]},
        "training": {**_JOEYNMT_TRAINING, "updates": updates, "logging_freq": every},
        "model": {
            "initializer": "xavier_uniform",
            "tied_softmax": True,
            "encoder": {**_JOEYNMT_LAYERS, "bidirectional": True},
            "decoder": {**_JOEYNMT_DECODER, "input_feeding": feeding},
        },
    }
    path = folder / "joeynmt.yaml"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    return [str(python), "-m", "joeynmt", "train", str(path), "--skip-test"]


_OPENNMT = {
    "overwrite": True,
    "encoder_type": "brnn",
    "decoder_type": "rnn",
    "rnn_type": "LSTM",
    "word_vec_size": OPENNMT_SIZE,
    "hidden_size": OPENNMT_SIZE,
    "layers": 1,
    "global_attention": "general",
    "share_decoder_embeddings": True,
    "dropout": [DROPOUT],
    "label_smoothing": SMOOTHING,
    "optim": "adam",
    "learning_rate": LEARNING_RATE,
    "max_grad_norm": CLIP,
    "batch_size": SENTENCES,
    "batch_type": "sents",
    "normalization": "tokens",
    "bucket_size": 30_000,  # the whole corpus is sorted by length, as the other contenders' is
    "bucket_size_init": 30_000,
    "valid_steps": 1_000_000,
    "save_checkpoint_steps": 1_000_000,
    "num_workers": 0,
    "seed": 1,
}


def opennmt_command(python: Path, folder: Path, feeding: bool, updates: int, every: int) -> list[str]:
    """Write OpenNMT-py's configuration and return its command."""
    for side in ("source", "target"):
        words = (folder / f"vocabulary.{side}").read_text(encoding="utf-8").split()
        (folder / f"opennmt.{side}").write_text("".join(f"{word}\t1\n" for word in words), encoding="utf-8")
    configuration = {
        "save_data": str(folder / "opennmt"),
        "data": {
            part: {"path_src": str(folder / f"{file}.source"), "path_tgt": str(folder / f"{file}.target")}
            for part, file in (("corpus", "train"), ("valid", "valid"))
        },
        "src_vocab": str(folder / "opennmt.source"),
        "tgt_vocab": str(folder / "opennmt.target"),
        "save_model": str(folder / "opennmt" / "model"),
        **_OPENNMT,
        "input_feed": int(feeding),
        "train_steps": updates,
        "report_every": every,
    }
    path = folder / "opennmt.yaml"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    return [str(python), "-m", "onmt.bin.train", "-config", str(path)]
