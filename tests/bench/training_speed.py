"""How fast models train, beside what people train such models with: `python -m tests.bench.training_speed --data DIR`.

The same translation model (LSTM 256, bidirectional encoder, Luong's general attention, vocabularies of 6,000, tied
output) on the same tokens of Multi30k's English and German, two threads, batches of 64 sentences or as many tokens.
Contenders take turns in processes of their own; a rate is target tokens per second, padding not counted. JoeyNMT and
OpenNMT-py are installed into environments of their own under .build/peers; what does not install has an empty row.
Writes the table into docs/training-speed.md.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.bench.training_contenders import EMBEDDING, HIDDEN, SENTENCES, THREADS
from tests.bench.training_peers import joeynmt_command, opennmt_command, peer_python
from training.data.examples import TextPair
from training.data.load import load_corpus
from training.settings.recipe import TokenizerSettings
from training.tasks.base import Text

ROOT = Path(__file__).parents[2]
CORPUS = "multi30k-en-de-tok"
VOCABULARY = 6000
UPDATES, EVERY = 80, 20
ROUNDS = 3
DOCUMENT = ROOT / "docs" / "training-speed.md"


@dataclass(frozen=True)
class Contender:
    """Somebody who trains the model.

    Attributes:
        title: for the table.
        command: of one run over the token files in a folder.
        rate: finds target tokens per second in a line of its output.
    """

    title: str
    command: Callable[[Path], Sequence[str]]
    rate: re.Pattern[str]


OURS = re.compile(r"^tokens_per_second ([\d.]+)", re.MULTILINE)
JOEYNMT = re.compile(r"Tokens per Sec:\s*([\d.]+)")
OPENNMT = re.compile(r"\d+/\s*(\d+) tok/s")


def main() -> None:
    """Measure in turns and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SEQSERVE_DATA"), help="folder of the real corpora")
    arguments = parser.parse_args()
    contenders, absent = _contenders()
    rates: dict[str, list[float]] = {contender.title: [] for contender in contenders}
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_tokens(folder, arguments.data)
        for _ in range(ROUNDS):
            for contender in contenders:
                rates[contender.title].append(measure(contender, folder))
                sys.stdout.write(f"{contender.title}: {rates[contender.title][-1]:.0f} tokens/s\n")
                sys.stdout.flush()
    DOCUMENT.write_text(document(rates, absent), encoding="utf-8")
    sys.stdout.write(f"{DOCUMENT}\n")


def write_tokens(folder: Path, data_folder: Path | None) -> None:
    """Write the training and some validation sentences as tokens between blanks, and the vocabularies."""
    splits = load_corpus(CORPUS, data_folder)
    for side in ("source", "target"):
        settings = TokenizerSettings(kind="bpe", vocabulary_size=VOCABULARY)
        text = Text.learn([getattr(pair, side) for pair in splits.training], settings)
        for part, pairs in (("train", splits.training), ("valid", splits.validation[:100])):
            lines = [_as_words(text, pair, side) for pair in pairs]
            (folder / f"{part}.{side}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        words = [f"t{number}" for number in range(text.tokenizer.vocabulary_size)]
        (folder / f"vocabulary.{side}").write_text("".join(f"{word}\n" for word in words), encoding="utf-8")


def _as_words(text: Text, pair: object, side: str) -> str:
    if not isinstance(pair, TextPair):
        raise TypeError(f"{CORPUS} holds {type(pair).__name__}, expected pairs of texts")
    return " ".join(f"t{number}" for number in text.tokenizer.encode(getattr(pair, side)))


def measure(contender: Contender, folder: Path) -> float:
    """Run a contender; its median rate, without the first report, in which things warm up."""
    threads = str(THREADS)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "PYTHONWARNINGS": "ignore"}
    command = [*contender.command(folder)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{contender.title}: exit code {run.returncode}; its output ends in {run.stderr[-2000:]}")
    found = contender.rate.finditer(run.stdout + run.stderr)
    rates = [float(match.group(1)) for match in found]
    if len(rates) < UPDATES // EVERY:
        raise RuntimeError(f"{contender.title}: {len(rates)} reports; its output ends in {run.stderr[-2000:]}")
    return statistics.median(rates[1:])


def document(rates: dict[str, list[float]], absent: dict[str, str]) -> str:
    """Write the page; the first two contenders are the project's own."""
    medians = {title: statistics.median(values) for title, values in rates.items()}
    full, half = list(rates)[:2]
    lines = [
        "# Speed of training",
        "",
        "Written by `python -m tests.bench.training_speed`; not edited by hand.",
        "",
        (__doc__ or "").split("\n\n")[1].split("\nWrites")[0],
        "",
        f"Embeddings {EMBEDDING}, hidden {HIDDEN}, batches of {SENTENCES} sentences,",
        f"{UPDATES} updates, {ROUNDS} rounds;",
        f"torch {torch.__version__}, {THREADS} threads, {datetime.now(UTC):%Y-%m-%d}.",
        "",
        "| contender | target tokens/s, median | lowest to highest | float32 / contender | bfloat16 / contender |",
        "|---|---|---|---|---|",
        *(
            f"| {title} | {medians[title]:,.0f} | {min(values):,.0f} to {max(values):,.0f} "
            f"| {medians[full] / medians[title]:.2f} | {medians[half] / medians[title]:.2f} |"
            for title, values in rates.items()
        ),
        *(f"| {title} | | | {reason} | |" for title, reason in absent.items()),
        "",
    ]
    return "\n".join(lines)


def _contenders() -> tuple[list[Contender], dict[str, str]]:
    """Who can run here, and of the others why not."""
    here = [
        Contender("seqserve, float32", _own("seqserve"), OURS),
        Contender("seqserve, bfloat16", _own("seqserve-bfloat16"), OURS),
        Contender("naive PyTorch loop, step by step", _own("naive"), OURS),
    ]
    absent: dict[str, str] = {}
    for peer, command, rate in (("joeynmt", joeynmt_command, JOEYNMT), ("opennmt", opennmt_command, OPENNMT)):
        try:
            python = peer_python(ROOT / ".build" / "peers", peer)
        except subprocess.CalledProcessError as error:
            absent[peer] = f"did not install: {(error.stderr.strip().splitlines() or [error])[-1]}"
            continue
        for feeding in (False, True):
            title = f"{python.title}, {'with' if feeding else 'no'} input feeding"
            here.append(Contender(title, _peer(command, python.path, feeding), rate))
    return here, absent


def _own(name: str) -> Callable[[Path], list[str]]:
    module = "tests.bench.training_contenders"
    return lambda folder: [sys.executable, "-m", module, name, str(folder), str(UPDATES), str(EVERY)]


def _peer(
    command: Callable[[Path, Path, bool, int, int], list[str]], python: Path, feeding: bool
) -> Callable[[Path], list[str]]:
    return lambda folder: command(python, folder, feeding, UPDATES, EVERY)


if __name__ == "__main__":
    main()
