"""compose.yaml and the monitoring files: what they mount exists, and what they call one another agrees."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.monitoring.build_dashboard import OUTPUT
from service.serving.engines.hosts import STOP_SECONDS
from service.settings import ServiceSettings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
MONITORING = DEPLOY / "monitoring"

Yaml = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> Yaml:
    found: Yaml = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def mounts(service: Yaml) -> dict[str, str]:
    """Host path (or volume) by path inside."""
    pairs = [mount.removesuffix(":ro").rpartition(":") for mount in service["volumes"]]
    return {inside: outside for outside, _, inside in pairs}


def test_files_and_folders_that_are_mounted_exist(services: Yaml) -> None:
    found = [path for service in services.values() for path in mounts(service).values() if path.startswith("./")]
    assert len(found) == 3
    assert all((DEPLOY / path).exists() for path in found)


def test_ports_are_open_to_this_machine_only(services: Yaml) -> None:
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service["ports"])


def test_prometheus_scrapes_the_port_that_the_image_has(services: Yaml) -> None:
    (job,) = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    assert job["job_name"] == "seqserve"
    assert job["metrics_path"] == "/metrics"
    (target,) = job["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert f"127.0.0.1:{port}:{port}" in services[host]["ports"]
    assert f"SEQSERVE_METRICS_ADDRESS=0.0.0.0:{port}\n" in (ROOT / "Dockerfile").read_text()


def test_grafana_finds_prometheus_and_the_dashboard(services: Yaml) -> None:
    inside = mounts(services["grafana"])
    assert DEPLOY / inside["/etc/grafana/provisioning"] == MONITORING / "grafana" / "provisioning"
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"].removeprefix("http://").partition(":")[0] in services
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "seqserve.yaml").read_text())["providers"]
    folder = provider["options"]["path"]
    assert (DEPLOY / inside[folder] / OUTPUT.name).resolve() == OUTPUT.resolve()
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{folder}/{OUTPUT.name}"


def test_the_container_gets_longer_to_stop_than_the_service_takes(services: Yaml) -> None:
    seconds = sum(ServiceSettings.model_fields[name].default for name in ("drain_seconds", "grace_seconds"))
    assert int(services["seqserve"]["stop_grace_period"].removesuffix("s")) > seconds + STOP_SECONDS
