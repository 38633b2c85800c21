"""/metrics, /ready and /live over HTTP."""

import asyncio
import urllib.error
import urllib.request

import pytest
from prometheus_client import CollectorRegistry

from service.errors import SettingsError
from service.metrics import Metrics
from service.transport.http import open_metrics_server


def get(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


async def test_metrics_are_shown_on_their_path_and_nothing_on_others(metrics: Metrics) -> None:
    metrics.add_model("tiny")
    metrics.generated_tokens.labels("tiny").inc(3)
    async with open_metrics_server("127.0.0.1:0", metrics.registry, bool) as address:
        status, page = await asyncio.to_thread(get, address, "/metrics")
        assert status == 200
        assert 'seqserve_generated_tokens_total{model="tiny"} 3.0' in page
        for path in ("/", "/metrics/", "/favicon.ico", "/etc/passwd"):
            assert (await asyncio.to_thread(get, address, path))[0] == 404


async def test_ready_follows_the_parts_and_live_does_not(metrics: Metrics) -> None:
    ready = False
    async with open_metrics_server("127.0.0.1:0", metrics.registry, lambda: ready) as address:
        assert await asyncio.to_thread(get, address, "/ready") == (503, "not ready\n")
        assert await asyncio.to_thread(get, address, "/live") == (200, "live\n")
        ready = True
        assert await asyncio.to_thread(get, address, "/ready") == (200, "ready\n")


async def test_a_busy_port_is_a_settings_error_that_says_so(metrics: Metrics) -> None:
    async with open_metrics_server("127.0.0.1:0", metrics.registry, bool) as address:
        with pytest.raises(SettingsError, match=f"metrics_address {address} cannot be used: Address already in use"):
            async with open_metrics_server(address, metrics.registry, bool):
                pass


async def test_a_host_that_does_not_exist_is_a_settings_error(metrics: Metrics) -> None:
    with pytest.raises(SettingsError, match="metrics_address no host:0 cannot be used"):
        async with open_metrics_server("no host:0", metrics.registry, bool):
            pass


@pytest.mark.parametrize("host", ["a" * 64 + ".b", "a..b"], ids=["endless label", "empty label"])
async def test_a_host_that_cannot_be_a_name_is_a_settings_error(metrics: Metrics, host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with open_metrics_server(f"{host}:0", metrics.registry, bool):
            pass
    assert caught.value.message == f"metrics_address {host}:0 cannot be used: its host is no valid name"


async def test_the_port_is_free_again_afterwards(metrics: Metrics) -> None:
    async with open_metrics_server("127.0.0.1:0", metrics.registry, bool) as address:
        pass
    async with open_metrics_server(address, metrics.registry, bool) as again:
        assert again == address
