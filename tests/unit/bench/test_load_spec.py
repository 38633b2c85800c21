"""What crosses to load generators and back."""

from tests.bench.serving.load.spec import Item, LoadSpec, Report


def test_a_spec_comes_back_from_its_line() -> None:
    spec = LoadSpec("seqserve", "127.0.0.1:1", "m", "translation", [Item("a\nb", "é", 3)], options={"beam_size": 4})
    assert LoadSpec.from_json(spec.to_json()) == spec
    assert "\n" not in spec.to_json()


def test_reports_add_up() -> None:
    total = Report(items=1, latencies_ms=[1.0], cpu_seconds=0.5)
    total.add(Report.from_json(Report(items=2, different=1, latencies_ms=[2.0], cpu_seconds=0.25).to_json()))
    assert total == Report(items=3, different=1, latencies_ms=[1.0, 2.0], cpu_seconds=0.75)
