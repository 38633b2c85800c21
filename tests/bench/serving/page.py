"""docs/benchmarks.md: a section per part, with its own date, commit and machine, so that it can be measured alone."""

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench.serving.origin import Origin, runs_told

HEAD = """# Benchmarks

Written by `make bench`; not edited by hand. Each part says when and where it was measured and of which commit, and is
replaced when it is measured again (`python -m tests.bench.serving --part NAME`).

{runs}

Every contender does the same job: text in, answer out. The load comes from processes of its own, which send the same
test sentences again and again and compare every answer with the reference: what the bundle's graphs give to each text
alone, and of samples, beams and untrained models what our engine gives to each alone. Ours and the limit must equal it
every time, else the part is not written; how often others do is in the tables, for engines with other numerics may
differ. Contenders take turns, round by round; figures are medians, ratios medians of the rounds' ratios. CPU is counted
for the server's processes with their children, apart from the generator's. *The limit* is a bare loop that does
the same job without a service: tokenise, encode, step, detokenise, the same graphs, a process per core, the best batch
of those tried. Settings are tried before the rounds, and the best are taken. Peers run in environments of their own. A
peer that does not run has an empty row with the reason. The threads of the `tokenizers` library are off for all, for a
process per core is there already.
"""
NOT_RECORDED = "When and of which commit it was measured: not recorded."


@dataclass(frozen=True)
class Section:
    """A part as it stands on the page.

    Attributes:
        text: its Markdown, that begins with its title.
        origin: where its figures come from; None: not recorded.
    """

    text: str
    origin: Origin | None = None

    def marked(self, name: str) -> str:
        """With marks around it, by which it is found again, and its origin under the title and for machines."""
        title, _, rest = self.text.partition("\n")
        kept = "" if self.origin is None else f"<!-- origin {json.dumps(asdict(self.origin))} -->\n"
        told = f"*{self.origin or NOT_RECORDED}*"
        text = "\n\n".join(filter(None, [title, told, rest.strip()]))
        return f"<!-- part {name}: begin -->\n{kept}{text}\n<!-- part {name}: end -->\n"


def written(page: str, name: str, section: Section, order: Sequence[str], profiles: str = "") -> str:
    """The page with one part replaced.

    Args:
        page: as it stands; may be empty.
        name: of the part.
        section: the part.
        order: names of all parts, as they come on the page.
        profiles: Markdown of what the missed targets cost, which is a section of its own; none if empty.
    """
    sections = {**_sections(page), name: section}
    present = [(one, sections[one]) for one in order if one in sections]
    missing = [one for one in order if one not in sections]
    head = HEAD.format(runs=runs_told([(one, found.origin) for one, found in present], missing))
    costs = [f"## What the missed targets cost\n\n{profiles.strip()}\n"] if profiles.strip() else []
    return "\n".join([head, *(found.marked(one) for one, found in present), *costs])


def _sections(page: str) -> dict[str, Section]:
    found = re.finditer(
        r"<!-- part (?P<name>[\w-]+): begin -->\n(?:<!-- origin (?P<origin>.*?) -->\n)?(?P<text>.*?)"
        r"\n<!-- part (?P=name): end -->",
        page,
        re.DOTALL,
    )
    return {match["name"]: _read(match["text"], match["origin"]) for match in found}


def _read(text: str, kept: str | None) -> Section:
    """The section that `Section.marked` wrote, or one from before it told the origin."""
    origin = None if kept is None else Origin(**json.loads(kept))
    title, _, rest = text.partition("\n")
    return Section(f"{title}\n\n{rest.strip().removeprefix(f'*{origin or NOT_RECORDED}*').strip()}".strip(), origin)


def circumstances(*more: str) -> str:
    """When and where, with versions."""
    packages = ("onnxruntime", "grpcio", "numpy", "tokenizers", "torch")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    machine = f"{len(os.sched_getaffinity(0))} cores ({_processor()}), CPython {platform.python_version()}, {versions}"
    return "; ".join([f"{datetime.now(UTC):%Y-%m-%d}", machine, *more]) + "."


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
