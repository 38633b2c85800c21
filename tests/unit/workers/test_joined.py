"""The page of all workers: each one's series under its label, each family once."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics
from service.workers.joined import JoinedMetrics
from service.workers.link import families_of
from service.workers.messages import NEWS, Family, Page, framed


def page_of(*registries: CollectorRegistry) -> str:
    """The joined page, after a trip over the socket."""

    def sent(registry: CollectorRegistry) -> list[Family]:
        page = NEWS.decode(framed(Page(1, families_of(registry)))[4:])
        assert isinstance(page, Page)
        return page.families

    joined = CollectorRegistry()
    joined.register(JoinedMetrics(lambda: [(number, sent(one)) for number, one in enumerate(registries)]))
    return generate_latest(joined).decode()


def test_every_series_of_every_worker_is_there_with_its_value() -> None:
    metrics = [Metrics(CollectorRegistry()) for _ in range(3)]
    for number, one in enumerate(metrics):
        one.generated_tokens.labels("tiny").inc(number + 1)
        one.queue_seconds.labels("tiny").observe(0.003)
    alone = [
        (family.name, sample.name, *sorted(sample.labels.items()))
        for family in text_string_to_metric_families(generate_latest(metrics[0].registry).decode())
        for sample in family.samples
    ]
    families = list(text_string_to_metric_families(page_of(*(one.registry for one in metrics))))
    assert len({family.name for family in families}) == len(families)
    for worker in range(3):
        found = {
            (family.name, sample.name, *sorted((k, v) for k, v in sample.labels.items() if k != "worker")): sample.value
            for family in families
            for sample in family.samples
            if sample.labels["worker"] == str(worker)
        }
        assert len(found) == len(alone)
        if worker == 0:
            assert set(found) == set(alone)
        assert found["seqserve_generated_tokens", "seqserve_generated_tokens_total", ("model", "tiny")] == worker + 1


def test_kinds_texts_and_buckets_survive() -> None:
    registry = CollectorRegistry()
    Histogram("wait_seconds", "Time to wait.", registry=registry, buckets=(0.1, 1)).observe(0.5)
    Counter("asked_total", "What was asked.", ["model"], registry=registry).labels('odd "name"\n').inc()
    page = page_of(registry)
    assert "# HELP wait_seconds Time to wait.\n# TYPE wait_seconds histogram\n" in page
    assert 'wait_seconds_bucket{le="+Inf",worker="0"} 1.0\n' in page
    assert "# TYPE asked_total counter\n" in page
    assert 'asked_total{model="odd \\"name\\"\\n",worker="0"} 1.0\n' in page


def test_a_family_that_only_one_worker_has_is_shown() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    Counter("rare_total", "Rare.", registry=second).inc()
    assert 'rare_total{worker="1"} 1.0\n' in page_of(first, second)


def test_registering_asks_no_worker() -> None:
    def ask() -> list[tuple[int, list[Family]]]:
        raise AssertionError("asked")

    CollectorRegistry().register(JoinedMetrics(ask))
