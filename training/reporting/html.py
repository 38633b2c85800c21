"""Turns a report into one HTML page that needs nothing else: no network, no script.   Escapes all text."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.reporting.document import Report

_TEMPLATES = Path(__file__).parent


def render(report: Report) -> str:
    """Return the page. Texts come from data that nobody vouches for, and are escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(report=report)
