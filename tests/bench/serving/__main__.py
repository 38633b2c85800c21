"""`make bench`: measures the service beside its limit and its peers, and writes docs/benchmarks.md part by part."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.cores import find_cores
from tests.bench.serving.load.processes import ROOT
from tests.bench.serving.origin import Origin, commit_of, now
from tests.bench.serving.page import Section, written
from tests.bench.serving.parts.bench import Bench, Part
from tests.bench.serving.parts.bounds import bounds
from tests.bench.serving.parts.classification import classification
from tests.bench.serving.parts.costs import costs
from tests.bench.serving.parts.floor import floor
from tests.bench.serving.parts.generation import generation
from tests.bench.serving.parts.growth import growth
from tests.bench.serving.parts.startup import startup
from tests.bench.serving.parts.toolkits import toolkits
from tests.bench.serving.parts.translation import modes, translation
from tests.bench.serving.schedule import EFFORTS, minutes
from training.errors import DataError

PARTS: Mapping[str, Part] = {
    "floor": floor,
    "translation": translation,
    "modes": modes,
    "classification": classification,
    "generation": generation,
    "startup": startup,
    "toolkits": toolkits,
    "growth": growth,
    "bounds": bounds,
    "costs": costs,
}
PAGE = ROOT / "docs" / "benchmarks.md"
BUILD = ROOT / ".build"
PROFILES = Path(__file__).with_name("profiles.md")
"""Written by hand: where the time goes of what missed its target."""
MODELS = (ROOT / "bundles", BUILD / "models")


def main(words: Sequence[str] | None = None) -> None:
    """Measure the parts that were asked for; each is on the page as soon as it is done.

    Args:
        words: of the command; None: those that the process was called with.
    """
    arguments = _arguments(words)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # of every contender: each has a process per core
    try:
        _measure(arguments)
    except DataError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(2)


def _measure(arguments: argparse.Namespace) -> None:
    bench = Bench(
        models=arguments.models or MODELS,
        data=arguments.data,
        work=BUILD / "bench",
        precision=arguments.precision,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        cores=find_cores().usable,
        generators=arguments.generators,
    )
    names = arguments.part or list(PARTS)
    expected = {
        name: EFFORTS[name].seconds(rounds=bench.rounds, counted=bench.seconds, tried=bench.briefly.seconds)
        for name in names
    }
    parts = ", ".join(f"{name} {minutes(seconds)}" for name, seconds in expected.items())
    _tell(f"expected, on an idle machine: {parts}; together {minutes(sum(expected.values()))}")
    run = now()
    for name in names:
        begun = time.monotonic()
        section = _section(bench, name, run)
        page = arguments.page.read_text(encoding="utf-8") if arguments.page.exists() else ""
        profiles = PROFILES.read_text(encoding="utf-8") if PROFILES.exists() else ""
        arguments.page.write_text(written(page, name, section, list(PARTS), profiles), encoding="utf-8")
        took = minutes(time.monotonic() - begun)
        _tell(f"{section.text}\n\n{section.origin}\n\n{name} took {took}; expected were {minutes(expected[name])}\n")


def _section(bench: Bench, name: str, run: str) -> Section:
    """Measure a part; a commit that is made meanwhile is told, too."""
    begun, before = now(), commit_of(ROOT)
    text = PARTS[name](bench).strip()
    commits = dict.fromkeys((before, commit_of(ROOT)))
    return Section(text, Origin(run, begun, now(), ", at the end ".join(commits)))


def _tell(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.serving", description=__doc__)
    parser.add_argument("--part", action="append", choices=PARTS, help="measure this part alone; may be repeated")
    parser.add_argument(
        "--models",
        type=Path,
        action="append",
        help="repository of bundles, of which one per task is taken; if repeated, from the first that has one "
        "[default: bundles, then .build/models]",
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("SEQSERVE_DATA"), help="folder of the real corpora (SEQSERVE_DATA)"
    )
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="that models are served in")
    parser.add_argument("--seconds", type=float, default=2.5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="of each contender")
    parser.add_argument("--generators", type=int, default=2, help="processes that ask")
    parser.add_argument("--page", type=Path, default=PAGE, help="file to write")
    return parser.parse_args(words)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: servers are ended, too
    main()
