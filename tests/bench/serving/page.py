"""docs/benchmarks.md: a section per part, each with its own date and machine, so that a part can be measured alone."""

import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HEAD = """# Benchmarks

Written by `make bench`; not edited by hand. Each part says when and where it was measured, and is replaced when it is
measured again (`python -m tests.bench.serving --part NAME`).

Every contender does the same job: text in, answer out. The load comes from processes of its own, which send the same
test sentences again and again and compare every answer with what the bundle's graphs give to each text alone; ours must
equal them all. Contenders take turns, round by round; figures are medians, ratios medians of the rounds' ratios. CPU is
counted for the server's processes with their children, apart from the generator's. *The limit* is a bare loop that does
the same job without a service: tokenise, encode, step, detokenise, the same graphs, a process per core, the best batch
of those tried. Settings are tried before the rounds, and the best are taken. Peers run in environments of their own. A
peer that does not run has an empty row with the reason. The threads of the `tokenizers` library are off for all, for a
process per core is there already.
"""


def written(page: str, name: str, section: str, order: Sequence[str], profiles: str = "") -> str:
    """The page with one part replaced.

    Args:
        page: as it stands; may be empty.
        name: of the part.
        section: its Markdown.
        order: names of all parts, as they come on the page.
        profiles: Markdown of what the missed targets cost, which is a section of its own; none if empty.
    """
    sections = _sections(page)
    sections[name] = section.strip()
    parts = [_marked(one, sections[one]) for one in order if one in sections]
    costs = [f"## What the missed targets cost\n\n{profiles.strip()}\n"] if profiles.strip() else []
    return "\n".join([HEAD, *parts, *costs])


def _sections(page: str) -> dict[str, str]:
    found = re.finditer(
        r"<!-- part (?P<name>[\w-]+): begin -->\n(?P<text>.*?)\n<!-- part (?P=name): end -->", page, re.DOTALL
    )
    return {match["name"]: match["text"] for match in found}


def _marked(name: str, section: str) -> str:
    return f"<!-- part {name}: begin -->\n{section}\n<!-- part {name}: end -->\n"


def circumstances(*more: str) -> str:
    """When and where, with versions."""
    packages = ("onnxruntime", "grpcio", "numpy", "tokenizers", "torch")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    machine = f"{len(os.sched_getaffinity(0))} cores ({_processor()}), CPython {platform.python_version()}, {versions}"
    return "; ".join([f"{datetime.now(UTC):%Y-%m-%d}", machine, *more]) + "."


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
