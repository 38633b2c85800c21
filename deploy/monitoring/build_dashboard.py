"""Writes dashboards/seqserve.json, in Grafana's schema, from panels.py.   Knows layout, not what is shown.

python -m deploy.monitoring.build_dashboard
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from deploy.monitoring.panels import HERE, ROWS, Panel, Row, Target

OUTPUT = Path(__file__).parent / "dashboards" / "seqserve.json"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
PANEL_HEIGHT = 7


def variable(name: str, series: str) -> dict[str, Any]:
    """A choice among the values that the label `name` has in `series`; all of them at first."""
    query = f"label_values({series}, {name})"
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"{name}-values"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def variables() -> list[dict[str, Any]]:
    """Datasource, job, instance and model."""
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "current": {},
            "options": [],
        },
        variable("job", "seqserve_engine_restarts_total"),
        variable("instance", 'seqserve_engine_restarts_total{job=~"$job"}'),
        variable("model", f"seqserve_texts_in_flight{{{HERE}}}"),
    ]


def draw(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    """One panel as Grafana reads it."""
    drawn: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": PANEL_HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": {},
        "targets": [draw_target(panel, target, letter) for target, letter in zip(panel.targets, "ABCDE", strict=False)],
    }
    if panel.kind == "timeseries":
        drawn["fieldConfig"]["defaults"] |= {"min": 0, "custom": {"fillOpacity": 8, "showPoints": "never"}}
        drawn["options"] = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}
    if panel.kind == "table":
        hidden = {"Time": True, "Value": False}
        drawn["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return drawn


def draw_target(panel: Panel, target: Target, letter: str) -> dict[str, Any]:
    """One expression; tables, bars and stats show its newest value alone."""
    instant = panel.kind != "timeseries"
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "expr": target.expression,
        "legendFormat": target.legend,
        "instant": instant,
        "range": not instant,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def lay_out(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Headings and panels from left to right, top to bottom, with their places."""
    number, y = 0, 0
    for row in rows:
        number += 1
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": place, "panels": []}
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + PANEL_HEIGHT
            number += 1
            yield draw(panel, number, x, y)
            x += panel.width
        y += PANEL_HEIGHT


def build() -> dict[str, Any]:
    """The whole dashboard."""
    return {
        "uid": "seqserve",
        "title": "seqserve",
        "description": "Calls, queues, batches, decoding, models and process of the seqserve service.",
        "tags": ["seqserve", "grpc"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-30m", "to": "now"},
        "refresh": "10s",
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": list(lay_out(ROWS)),
    }


def render() -> str:
    """The dashboard as the file holds it."""
    return json.dumps(build(), indent=2) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(render())
