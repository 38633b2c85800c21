"""The dashboard: Grafana's linter's rules, valid PromQL, and a panel for every series of the service."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from deploy.monitoring.build_dashboard import COLUMNS, OUTPUT, render
from service.metrics import Metrics, SupervisorMetrics

Json = dict[str, Any]

DASHBOARD: Json = json.loads(OUTPUT.read_text())
PANELS: list[Json] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
SHOWN_AS_A_COUNT = {
    "seqserve_engine_restarts_total",
    "seqserve_model_load_failures_total",
    "seqserve_worker_restarts_total",
}
"""Counters of rare events: a rate would show nothing, their value counts since the service started."""

VARIABLES: dict[str, Json] = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


def series_in(expression: str) -> set[str]:
    """Names that stand before a selector."""
    return set(re.findall(r"([a-z_]+)\{", expression))


def exposed_series() -> set[str]:
    """Every family of a worker and of the supervisor, by the name that dashboards use: counters with `_total`."""
    registry = CollectorRegistry()
    Metrics(registry)
    SupervisorMetrics(registry, worker_count=2)
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}


def test_the_file_is_what_the_builder_writes() -> None:
    assert OUTPUT.read_text() == render(), "run python -m deploy.monitoring.build_dashboard"


def test_every_series_of_the_service_has_a_panel() -> None:
    shown = set().union(*(series_in(param.values[0]) for param in EXPRESSIONS))  # type: ignore[arg-type]
    families = {re.sub(r"_(bucket|sum|count)$", "", series) for series in shown}
    assert families == exposed_series()


@pytest.mark.parametrize("panel", [pytest.param(panel, id=panel["title"]) for panel in PANELS])
def test_a_panel_says_what_it_shows(panel: Json) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_selector_follows_the_choice_of_job_and_instance(expression: str) -> None:
    selectors = re.findall(r"\{([^}]*)\}", expression)
    assert selectors
    assert all('job=~"$job"' in selector and 'instance=~"$instance"' in selector for selector in selectors)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rates_are_over_the_interval_that_fits_the_scrape(expression: str) -> None:
    assert set(re.findall(r"\}\[([^\]]*)\]", expression)) <= {"$__rate_interval"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_shown_as_rates(expression: str) -> None:
    for counter in {name for name in series_in(expression) if name.endswith("_total")} - SHOWN_AS_A_COUNT:
        assert expression.count(f"{counter}{{") == expression.count(f"rate({counter}{{")


def test_variables_choose_source_job_instance_and_model() -> None:
    assert list(VARIABLES) == ["datasource", "job", "instance", "model"]
    assert VARIABLES["datasource"]["type"] == "datasource"
    for name in ("job", "instance", "model"):
        variable = VARIABLES[name]
        assert variable["multi"]
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
        assert variable["refresh"] == 2, "on a change of the time range"
        assert variable["query"]["query"].endswith(f", {name})")


def test_the_dashboard_cannot_be_edited_by_hand() -> None:
    assert DASHBOARD["editable"] is False
    assert DASHBOARD["uid"]


def test_panels_have_their_own_number_and_place() -> None:
    taken: set[tuple[int, int]] = set()
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        taken |= cells


@pytest.mark.prometheus
def test_promtool_accepts_every_expression(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("the program promtool is missing")
    expressions = [str(param.values[0]).replace("$__rate_interval", "1m") for param in EXPRESSIONS]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    run = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
