"""The kustomize base: it renders, every supported Kubernetes accepts it, and its parts name one another rightly."""

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import ENVIRONMENT_PREFIX, ServiceSettings
from service.transport.standard.health import LIVENESS, READINESS

ROOT = Path(__file__).parents[3]
BASE = ROOT / "deploy" / "kubernetes" / "base"
STATE_KEYS = ROOT / "deploy" / "kubernetes" / "state-keys"
NEWEST = int(kubernetes_validate.latest_version().split(".")[1])
SUPPORTED = [f"1.{minor}" for minor in range(31, NEWEST + 1)]

Resource = dict[str, Any]


def parse(text: str) -> list[Resource]:
    return [resource for resource in yaml.safe_load_all(text) if resource is not None]


def kustomize(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder."""
    run = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def resources() -> list[Resource]:
    """What the kustomization lists, as written."""
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [resource for file in listed for resource in parse((BASE / file).read_text())]


@pytest.fixture(scope="module")
def rendered() -> list[Resource]:
    """What `kubectl kustomize` makes of it."""
    if shutil.which("kubectl") is None:
        pytest.skip("the program kubectl is missing")
    return parse(kustomize(BASE))


def of_kind(resources: list[Resource], kind: str) -> list[Resource]:
    return [resource for resource in resources if resource["kind"] == kind]


@pytest.fixture(scope="module")
def pod(resources: list[Resource]) -> Resource:
    (deployment,) = of_kind(resources, "Deployment")
    template: Resource = deployment["spec"]["template"]
    return template


@pytest.fixture(scope="module")
def container(pod: Resource) -> Resource:
    (only,) = pod["spec"]["containers"]
    found: Resource = only
    return found


@pytest.mark.parametrize("version", SUPPORTED)
def test_what_kubectl_renders_is_accepted_strictly(rendered: list[Resource], version: str) -> None:
    for resource in rendered:
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_resources_as_written_are_accepted_strictly(resources: list[Resource], version: str) -> None:
    for resource in resources:
        kubernetes_validate.validate(resource, version, strict=True)


def test_a_misspelled_key_is_refused(resources: list[Resource]) -> None:
    service = {**of_kind(resources, "Service")[0], "spek": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, SUPPORTED[0], strict=True)


def test_rendering_keeps_every_resource_and_tags_the_image(rendered: list[Resource], resources: list[Resource]) -> None:
    def names(of: list[Resource]) -> set[tuple[str, str]]:
        return {(resource["kind"], resource["metadata"]["name"]) for resource in of}

    assert names(rendered) == names(resources)
    (deployment,) = of_kind(rendered, "Deployment")
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    assert only["image"].startswith("seqserve-service:")


def test_every_file_of_the_base_is_listed() -> None:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in BASE.iterdir())


def test_every_selector_matches_the_pods(resources: list[Resource], pod: Resource) -> None:
    labels = pod["metadata"]["labels"]
    (deployment,), (budget,) = of_kind(resources, "Deployment"), of_kind(resources, "PodDisruptionBudget")
    selectors = [service["spec"]["selector"] for service in of_kind(resources, "Service")]
    selectors += [deployment["spec"]["selector"]["matchLabels"], budget["spec"]["selector"]["matchLabels"]]
    selectors += [spread["labelSelector"]["matchLabels"] for spread in pod["spec"]["topologySpreadConstraints"]]
    assert len(selectors) == 6
    assert all(selector and selector.items() <= labels.items() for selector in selectors)


def test_services_point_at_ports_that_the_container_has(resources: list[Resource], container: Resource) -> None:
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    for service in of_kind(resources, "Service"):
        for port in service["spec"]["ports"]:
            assert port["port"] == numbers[port["targetPort"]]


def test_probes_ask_the_grpc_port_for_the_names_that_health_knows(container: Resource) -> None:
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    asked = {probe: container[probe]["grpc"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert {probe["port"] for probe in asked.values()} == {numbers["grpc"]}
    assert asked["readinessProbe"]["service"] == READINESS
    assert {asked["startupProbe"]["service"], asked["livenessProbe"]["service"]} == {LIVENESS}


def test_the_ports_are_those_of_the_image(container: Resource, pod: Resource) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert f"{ENVIRONMENT_PREFIX}GRPC_ADDRESS=0.0.0.0:{numbers['grpc']} " in dockerfile
    assert f"{ENVIRONMENT_PREFIX}METRICS_ADDRESS=0.0.0.0:{numbers['metrics']}\n" in dockerfile
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(numbers["metrics"])


def test_environment_names_settings_that_exist(container: Resource) -> None:
    for variable in container["env"]:
        assert variable["name"].removeprefix(ENVIRONMENT_PREFIX).lower() in ServiceSettings.model_fields


def test_termination_waits_longer_than_drain_and_grace(pod: Resource, container: Resource) -> None:
    seconds = {variable["name"]: float(variable["value"]) for variable in container["env"]}
    drain_and_grace = seconds["SEQSERVE_DRAIN_SECONDS"] + seconds["SEQSERVE_GRACE_SECONDS"]
    assert pod["spec"]["terminationGracePeriodSeconds"] >= drain_and_grace + 10


def test_pods_are_restricted(pod: Resource, container: Resource) -> None:
    spec, own = pod["spec"], container["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] >= 10_000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not spec["automountServiceAccountToken"]


def test_service_links_are_off_since_their_variables_start_like_our_settings(pod: Resource) -> None:
    assert pod["spec"]["enableServiceLinks"] is False


def test_mounts_name_volumes_and_the_claim_exists(
    resources: list[Resource], pod: Resource, container: Resource
) -> None:
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes.keys()
    (claim,) = of_kind(resources, "PersistentVolumeClaim")
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"], "readOnly": True}


def test_the_overlay_of_the_documentation_renders(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("the program kubectl is missing")
    (overlay,) = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL | re.MULTILINE
    )
    shutil.copytree(BASE, tmp_path / "seqserve" / "deploy" / "kubernetes" / "base")
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "kustomization.yaml").write_text(overlay)
    resources = parse(kustomize(tmp_path / "overlay"))
    (claim,) = of_kind(resources, "PersistentVolumeClaim")
    assert claim["spec"]["storageClassName"] == "YOUR-SHARED-CLASS"
    assert all(resource["metadata"]["namespace"] == "inference" for resource in resources)


def test_the_component_gives_the_service_keys_that_it_takes_and_nobody_else_may_read(
    pod: Resource, container: Resource
) -> None:
    (patch,) = parse((STATE_KEYS / "deployment.yaml").read_text())
    spec = patch["spec"]["template"]["spec"]
    (added,), (volume,) = spec["containers"], spec["volumes"]
    assert added["name"] == container["name"]
    variables = {variable["name"]: variable["value"] for variable in added["env"]}
    (mount,) = added["volumeMounts"]
    assert variables == {"SEQSERVE_STATE_KEYS": f"{mount['mountPath']}/state-keys"}
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    assert stat.S_IMODE(volume["secret"]["defaultMode"]) & (stat.S_IWGRP | stat.S_IRWXO) == 0
    assert spec["securityContext"]["fsGroup"] == pod["spec"]["securityContext"]["runAsGroup"]


def test_base_and_component_render_into_one_deployment(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("the program kubectl is missing")
    shutil.copytree(BASE.parent, tmp_path / "kubernetes")
    (tmp_path / "overlay").mkdir()
    overlay = {"resources": ["../kubernetes/base"], "components": ["../kubernetes/state-keys"]}
    (tmp_path / "overlay" / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    resources = parse(kustomize(tmp_path / "overlay"))
    for version in SUPPORTED:
        for resource in resources:
            kubernetes_validate.validate(resource, version, strict=True)
    (deployment,) = of_kind(resources, "Deployment")
    spec = deployment["spec"]["template"]["spec"]
    assert {volume["name"] for volume in spec["volumes"]} == {"models", "tmp", "state-keys"}
    assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == {"models", "tmp", "state-keys"}
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (10001, 10001)
    assert "SEQSERVE_STATE_KEYS" in {variable["name"] for variable in spec["containers"][0]["env"]}
