"""Models that are taken out and let in again on request, over a real folder and a real engine."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.errors import BundleError, ModelNotFoundError
from tests.bundles import publish_tiny
from tests.unit.serving.running import Running, running, soon

NAME = "tiny-classification"


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Running]:
    publish_tiny(tmp_path, "classification")
    async with running(tmp_path) as parts:
        yield parts


def served(parts: Running) -> list[tuple[str, int, str]]:
    return [(info.name, info.version, info.state) for info in parts.catalog.infos()]


async def test_a_model_that_is_taken_out_stays_out_until_it_is_loaded(parts: Running) -> None:
    await parts.catalog.unload(NAME)
    await parts.catalog.refresh()
    assert served(parts) == []
    assert parts.catalog.withheld() == [NAME]
    await parts.catalog.load(NAME)
    assert served(parts) == [(NAME, 1, "active")]
    assert parts.catalog.withheld() == []
    assert (await parts.front.classify(NAME, ["good"], deadline=soon())).version == 1


async def test_what_a_model_works_on_is_finished_after_it_was_taken_out(parts: Running) -> None:
    async with parts.gated(NAME) as (_, tokenizer):
        call = asyncio.create_task(parts.front.classify(NAME, ["a" * 5_000], deadline=soon()))
        await asyncio.sleep(0.05)
        await parts.catalog.unload(NAME)
        assert not call.done()
        tokenizer.gate.set()
        assert (await call).version == 1


async def test_to_take_out_a_model_twice_is_no_error(parts: Running) -> None:
    await parts.catalog.unload(NAME)
    await parts.catalog.unload(NAME)


async def test_a_load_finds_a_new_version_at_once(parts: Running, tmp_path: Path) -> None:
    publish_tiny(tmp_path, "classification", version=2)
    await parts.catalog.load(NAME)
    assert served(parts) == [(NAME, 2, "active")]


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_a_name_that_is_nobodys_is_not_found(parts: Running, verb: str) -> None:
    with pytest.raises(ModelNotFoundError):
        await getattr(parts.catalog, verb)("nobody")


async def test_a_load_tells_why_a_bundle_is_refused_and_tries_again(parts: Running, tmp_path: Path) -> None:
    broken = publish_tiny(tmp_path, "generation")
    manifest = (broken / "manifest.json").read_bytes()
    (broken / "manifest.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"tiny-generation@1 is failed: manifest\.json"):
        await parts.catalog.load("tiny-generation")
    (broken / "manifest.json").write_bytes(manifest)
    await parts.catalog.load("tiny-generation")
    assert ("tiny-generation", 1, "active") in served(parts)


async def test_what_was_taken_out_and_deleted_is_forgotten(parts: Running, tmp_path: Path) -> None:
    await parts.catalog.unload(NAME)
    shutil.rmtree(tmp_path / NAME)
    await parts.catalog.refresh()
    assert parts.catalog.withheld() == []
