"""A load generator: a process of its own that keeps calls in flight and checks every answer.

Reads a LoadSpec from its input, says `ready`, begins at `go`, and writes a Report. What fails ends it.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator

from tests.bench.serving.load.askers import Asker, new_asker
from tests.bench.serving.load.spec import Item, LoadSpec, Report


class Window:
    """The time that counts."""

    def __init__(self, spec: LoadSpec) -> None:
        self.begin = time.perf_counter() + spec.warm_seconds
        self.end = self.begin + spec.seconds

    def holds(self, moment: float) -> bool:
        """Whether something that happened then counts."""
        return self.begin <= moment < self.end


async def call_in_turn(
    askers: Iterator[Asker], spec: LoadSpec, turns: Iterator[Item], window: Window, report: Report
) -> None:
    """One of the calls in flight: asks whoever is next, checks, asks again."""
    while (begun := time.perf_counter()) < window.end:
        asker, items = next(askers), [next(turns) for _ in range(spec.list_size)]
        if spec.task == "generation":
            await _stream(asker, items[0], window, report)
            continue
        answers = await asker.ask([item.text for item in items])
        now = time.perf_counter()
        if window.holds(now):
            _count(report, items, [text for text, _ in answers])
            report.tokens += sum(
                item.token_count if count is None else count for item, (_, count) in zip(items, answers, strict=True)
            )
            report.latencies_ms.append((now - begun) * 1000)


class Arrivals:
    """The messages of one stream, counted as they come.   Reads no clock: moments are told, in seconds.

    Args:
        begun: when the stream was asked for.
        window: the time that counts.
        report: that they are counted in.
    """

    def __init__(self, begun: float, window: Window, report: Report) -> None:
        self._begun = self._last = begun
        self._window, self._report = window, report
        self._has_begun = False

    def note(self, now: float, token_count: int) -> None:
        """A message with so many tokens; between those of one message there is no time."""
        if self._window.holds(now):
            self._report.tokens += token_count
            self._report.messages += token_count > 0
            if not self._has_begun:
                self._report.firsts_ms.append((now - self._begun) * 1000)
            elif token_count:
                self._report.gaps_ms.append((now - self._last) * 1000)
            self._report.gaps_ms += [0.0] * (token_count - 1)
        self._has_begun = True
        if token_count:
            self._last = now


async def _stream(asker: Asker, item: Item, window: Window, report: Report) -> None:
    begun = time.perf_counter()
    arrivals, pieces = Arrivals(begun, window, report), list[str]()
    async for piece, token_count in asker.stream(item.text):
        arrivals.note(time.perf_counter(), token_count)
        pieces.append(piece)
    ended = time.perf_counter()
    if window.holds(ended):
        _count(report, [item], ["".join(pieces)])
        report.latencies_ms.append((ended - begun) * 1000)


def _count(report: Report, items: list[Item], answers: list[str]) -> None:
    report.items += len(items)
    report.different += sum(item.expected != answer for item, answer in zip(items, answers, strict=True))


async def generate(spec: LoadSpec) -> Report:
    """Connect, say so, wait for the word, and keep the calls in flight."""
    askers = [new_asker(spec) for _ in range(spec.connections)]
    for asker in askers:
        await _ask_once(asker, spec)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    await asyncio.sleep(spec.delay_seconds)
    window, report = Window(spec), Report()
    turns = itertools.islice(itertools.cycle(spec.items), spec.first_item, None)
    asked = itertools.cycle(askers)
    calls = [asyncio.create_task(call_in_turn(asked, spec, turns, window, report)) for _ in range(spec.calls_in_flight)]
    report.cpu_seconds = await _cpu_within(window)
    failed = [error for call in calls if call.done() and (error := call.exception())]
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    if failed:
        raise failed[0]
    return report


async def _ask_once(asker: Asker, spec: LoadSpec) -> None:
    text = spec.items[0].text
    if spec.task == "generation":
        async for _ in asker.stream(text):
            pass
    else:
        await asker.ask([text])


async def _cpu_within(window: Window) -> float:
    await asyncio.sleep(window.begin - time.perf_counter())
    before = time.process_time()
    await asyncio.sleep(window.end - time.perf_counter())
    return time.process_time() - before


def main() -> None:
    """Spec in, report out."""
    report = asyncio.run(generate(LoadSpec.from_json(sys.stdin.readline())))
    sys.stdout.write(report.to_json() + "\n")


if __name__ == "__main__":
    main()
