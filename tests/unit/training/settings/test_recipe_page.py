"""The page on recipes has every setting with its type, range and default, and its examples are read."""

import re
import tomllib
from types import UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tests.trained import ROOT
from training.settings.evaluation import EvaluationSettings
from training.settings.labelling import LabellingSettings
from training.settings.model import ModelSettings
from training.settings.pretraining import PretrainingSettings
from training.settings.recipe import DataSettings, ExportSettings, Recipe, TokenizerSettings, parse_recipe
from training.settings.windows import WindowSettings

PAGE = (ROOT / "docs/recipes.md").read_text()
SECTIONS: dict[str, type[BaseModel]] = {
    "data": DataSettings,
    "tokenizer": TokenizerSettings,
    "source_tokenizer": TokenizerSettings,
    "target_tokenizer": TokenizerSettings,
    "model": ModelSettings,
    "labelling": LabellingSettings,
    "windows": WindowSettings,
    "pretraining": PretrainingSettings,
    "evaluation": EvaluationSettings,
    "export": ExportSettings,
}
TOP = "Before the first section"
ELSEWHERE = {"training"}
Row: TypeAlias = dict[str, str]


def chapters() -> dict[str, str]:
    """What stands below each heading, by each name in it."""
    parts = re.split(r"^## (.*)\n", PAGE, flags=re.MULTILINE)[1:]
    names = {heading: re.findall(r"`\[(\w+)\]`", heading) or [heading] for heading in parts[::2]}
    return {name: text for heading, text in zip(parts[::2], parts[1::2], strict=True) for name in names[heading]}


def table(text: str) -> dict[str, Row]:
    """Rows by their key."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    head, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return {row[0].strip("`"): dict(zip(head, row, strict=True)) for row in rows}


def blocks(text: str) -> list[str]:
    return re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def fields() -> list[tuple[str, str, FieldInfo]]:
    return [(section, key, field) for section, model in SECTIONS.items() for key, field in model.model_fields.items()]


def choices(annotation: Any) -> list[Any]:
    """The values of a field that has but a few."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    inner = get_args(annotation) if get_origin(annotation) in (Union, UnionType, list) else ()
    return [choice for one in inner for choice in choices(one)]


def test_every_section_of_a_recipe_has_a_chapter_and_no_other_has() -> None:
    sections = set(SECTIONS) | ELSEWHERE
    assert chapters().keys() == set(SECTIONS) | {TOP}
    assert Recipe.model_fields.keys() == sections | table(chapters()[TOP]).keys()


@pytest.mark.parametrize("section", SECTIONS)
def test_a_chapter_shows_the_keys_of_its_section_and_no_other(section: str) -> None:
    assert list(table(chapters()[section])) == list(SECTIONS[section].model_fields)


@pytest.mark.parametrize(("section", "key", "field"), [pytest.param(*one, id=".".join(one[:2])) for one in fields()])
def test_a_key_has_its_range_and_its_default(section: str, key: str, field: FieldInfo) -> None:
    row = table(chapters()[section])[key]
    assert all(row.values())
    values = row["type, range"]
    assert re.findall(r"`\"(\w+)\"`", values) == choices(field.annotation)
    assert ("`true` or `false`" in values) == (field.annotation is bool)
    for bound in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if hasattr(bound, name):
                assert re.search(rf"\b{getattr(bound, name)}\b", values), f"{values} lacks {bound}"
    if field.is_required():
        assert row["default"] == "needed"
    elif field.default is PydanticUndefined:
        assert row["default"] == "as `dropout`"
    elif field.default is None:
        assert row["default"] == "left out"
    else:
        shown = tomllib.loads(f"shown = {row['default'].strip('`')}")["shown"]
        assert (shown, type(shown)) == (field.default, type(field.default))


def test_the_pages_first_example_is_a_whole_recipe() -> None:
    whole = blocks(PAGE)[0]
    assert parse_recipe(whole.encode(), where="docs/recipes.md").name == "reviews"


def test_every_further_example_is_read() -> None:
    examples = blocks(PAGE)[1:]
    shown = [(name, keys) for example in examples for name, keys in tomllib.loads(example).items()]
    assert {name for name, _ in shown} == set(SECTIONS) - {"data", "tokenizer"}
    for name, keys in shown:
        SECTIONS[name].model_validate(keys)
