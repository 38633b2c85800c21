"""What h2load prints becomes a rate, and a call that failed is no rate."""

import pytest

from tests.bench.serving.parts.floor import sample_of

REPORT = """finished in 2.00s, 6000.00 req/s, 400KB/s
requests: 12000 total, 12032 started, 12000 done, 12000 succeeded, {failed} failed, 0 errored, 0 timeout
status codes: 12000 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_calls_are_counted_per_second_and_per_cpu_second() -> None:
    sample = sample_of(REPORT.format(failed=0), seconds=2.0, cpu=1.5)
    assert sample.items_per_second == 6000
    assert sample.items_per_cpu_second == 8000


@pytest.mark.parametrize("output", [REPORT.format(failed=3), "h2load: no such host\n"])
def test_a_report_of_failures_or_none_is_an_error(output: str) -> None:
    with pytest.raises(RuntimeError, match=r"3 failed|no such host"):
        sample_of(output, seconds=2.0, cpu=1.0)
