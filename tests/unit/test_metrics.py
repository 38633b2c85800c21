"""The series of the service."""

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.metrics import REJECTION_REASONS, UNKNOWN, Metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def test_two_instances_live_side_by_side_on_registries_of_their_own() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.engine_restarts.inc()
    assert second.registry.get_sample_value("seqserve_engine_restarts_total") == 0


def test_names_have_our_prefix_a_base_unit_and_a_sentence_of_help(metrics: Metrics) -> None:
    families = [family for family in metrics.registry.collect() if family.name.startswith("seqserve")]
    assert len(families) == 14
    for family in families:
        assert re.search(r"[A-Z].{10,}\.$", family.documentation), family.name
        assert not re.search(r"_(ms|millis|minutes|kb|count)\b", family.name), family.name


def test_process_platform_and_garbage_collection_are_shown(registry: CollectorRegistry, metrics: Metrics) -> None:
    names = {family.name for family in registry.collect()}
    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections"} <= names


def test_a_model_starts_with_its_series_at_zero(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.add_model("tiny", ["prefill", "step"])
    for name in ("seqserve_queue_seconds_count", "seqserve_generated_tokens_total", "seqserve_texts_in_flight"):
        assert registry.get_sample_value(name, {"model": "tiny"}) == 0
    for reason in REJECTION_REASONS:
        labels = {"model": "tiny", "reason": reason}
        assert registry.get_sample_value("seqserve_requests_rejected_total", labels) == 0
    for name in ("batch_size", "padding_ratio", "inference_seconds"):
        assert registry.get_sample_value(f"seqserve_{name}_count", {"model": "tiny", "graph": "step"}) == 0


def test_a_model_that_produces_no_tokens_has_no_series_of_them(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.add_model("classifier", ["classifier"])
    metrics.add_model("translator", ["encoder", "decoder_step"])
    for name in ("seqserve_generated_tokens_total", "seqserve_time_to_first_token_seconds_count"):
        assert registry.get_sample_value(name, {"model": "classifier"}) is None
        assert registry.get_sample_value(name, {"model": "translator"}) == 0


def test_what_is_counted_by_model_or_graph_is_counted_under_their_labels(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    for model, seconds in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        metrics.of_model(model).queue_seconds.observe(seconds)
        metrics.of_graph(model, "step").inference_seconds.observe(seconds)
    for name, labels in (("queue_seconds", {}), ("inference_seconds", {"graph": "step"})):
        sums = [registry.get_sample_value(f"seqserve_{name}_sum", {"model": model, **labels}) for model in ("a", "b")]
        assert sums == [4.0, 2.0]


def test_a_model_that_is_counted_has_no_series_of_tokens_until_it_produces_some(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    series, name = metrics.of_model("tagger"), "seqserve_generated_tokens_total"
    assert registry.get_sample_value(name, {"model": "tagger"}) is None
    series.generated_tokens.inc(3)
    assert registry.get_sample_value(name, {"model": "tagger"}) == 3


def test_adding_a_model_again_keeps_what_was_counted(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.add_model("tiny")
    metrics.generated_tokens.labels("tiny").inc(5)
    metrics.add_model("tiny")
    assert registry.get_sample_value("seqserve_generated_tokens_total", {"model": "tiny"}) == 5


def test_names_that_clients_make_up_share_one_label(metrics: Metrics) -> None:
    metrics.add_model("tiny")
    assert metrics.model_label("tiny") == "tiny"
    assert metrics.model_label("tiny@3") == "tiny"
    assert metrics.model_label("made-up") == UNKNOWN
    assert metrics.model_label("") == UNKNOWN


def test_the_page_has_no_created_series(registry: CollectorRegistry, metrics: Metrics) -> None:
    assert b"_created" not in generate_latest(registry)
