"""One metrics page of all workers: each one's series under its `worker` label."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import Metric
from prometheus_client.registry import Collector

from service.metrics import WORKER_LABEL
from service.workers.messages import Family


class JoinedMetrics(Collector):
    """Asks every worker at each scrape, so that nothing is kept that could be stale.

    Args:
        ask: gives what every worker measures, by its number; called from the thread of the scrape.
    """

    def __init__(self, ask: Callable[[], Iterable[tuple[int, list[Family]]]]) -> None:
        self._ask = ask

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: being registered must ask no worker."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family once, with the samples of all workers, in the order of the first worker that has it."""
        joined: dict[str, Metric] = {}
        for number, families in self._ask():
            for family in families:
                metric = joined.setdefault(family.name, Metric(family.name, family.documentation, family.kind))
                for sample in family.samples:
                    metric.add_sample(sample.name, {**sample.labels, WORKER_LABEL: str(number)}, sample.value)
        yield from joined.values()
