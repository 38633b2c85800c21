"""Whatever is sent to either API ends with a documented status, and hurts nobody: no crash, no flood, no leak.

`make fuzz` goes on from here for as long as one likes, guided by coverage.
"""

import time
from collections.abc import Iterator

import grpc
import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from demo.server import ServerProcess
from tests.e2e.calls import engines_of
from tests.fuzz.exchange import exchange, good_answers, judge
from tests.fuzz.inputs import odd_requests, tampered_requests

AS_THEY_COME = settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],  # large requests take minutes to shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
MOST_GROWTH_BYTES = 32 * 2**20
WARM_UP_ROUNDS = 20


@pytest.fixture(scope="module")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as channel:
        for _ in range(WARM_UP_ROUNDS):
            good_answers(channel)
        yield channel


def memory_of(server: ServerProcess) -> int:
    """Bytes that server and engines hold."""
    processes = psutil.Process(server.process.pid), *engines_of(server)
    return sum(process.memory_info().rss for process in processes)


@pytest.mark.parametrize(
    "requests", [pytest.param(odd_requests(), id="odd values"), pytest.param(tampered_requests(), id="tampered bytes")]
)
def test_nothing_that_is_sent_hurts_the_next_good_request(
    server: ServerProcess, channel: grpc.Channel, requests: st.SearchStrategy[tuple[str, bytes]]
) -> None:
    expected = good_answers(channel)
    memory, lines, began = memory_of(server), len(server.log), time.monotonic()

    @settings(AS_THEY_COME)
    @given(requests)
    def send(request: tuple[str, bytes]) -> None:
        judge(request[0], exchange(channel, *request))
        assert good_answers(channel) == expected

    send()
    assert server.process.poll() is None
    assert len(server.log) - lines <= time.monotonic() - began + 1, "more than a line per second"
    assert memory_of(server) - memory < MOST_GROWTH_BYTES
