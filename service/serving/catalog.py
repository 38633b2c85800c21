"""Which model versions serve: loads and swaps them as `versions.plan` decides, and lends them out.

A new version serves once it is proven; the old one goes on until then, and for good if the new one is refused.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from service.bundle.manifest import (
    MANIFEST_NAME,
    Classification,
    FeatureInput,
    Generation,
    Labelling,
    Manifest,
    TaskSpec,
    text_specs,
)
from service.bundle.store import OpenedBundle, open_bundle
from service.errors import BundleError, EngineLostError, ModelNotFoundError, ModelNotReadyError, ServiceError
from service.metrics import LEARNING_GRAPHS, Metrics
from service.serving.api import FeatureInfo, ModelInfo
from service.serving.engines.pool import EnginePool
from service.serving.statistics import RequestTally
from service.serving.tasks.carrying import carried_state_size
from service.serving.versions import Stamp, plan, scan
from service.text.tokenizer import Tokenizer

logger = logging.getLogger(__name__)

MOST_ENGINES_LOST = 3
"""A bundle that was being opened while so many engines died is not tried again."""


@dataclass
class ReadyModel:
    """A version that answers. `outstanding` counts the sequences that wait or run."""

    model_id: int
    info: ModelInfo
    spec: TaskSpec
    tokenizers: tuple[Tokenizer, ...]
    outstanding: int = 0
    requests: RequestTally = field(default_factory=RequestTally)
    borrowed: int = 0
    returned: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nobody has borrowed it."""

    @property
    def reference(self) -> str:
        """Name and version as a caller would write them."""
        return f"{self.info.name}@{self.info.version}"


@dataclass
class _Entry:
    info: ModelInfo
    stamp: Stamp
    ready: ReadyModel | None = None
    engines_lost: int = 0


class Catalog:
    """The model versions of one repository.

    Args:
        repository: folder of `<name>/<version>/` bundles.
        pool: loads what the catalog decides on.
        metrics: receives load times, failures and which versions serve.
        device: `cpu` or `cuda`, for models that have no device of their own.
        device_by_model: the device of each model that has its own.
        kept_versions: how many versions of a name serve side by side.
        on_change: called with every name, and whether it can answer, whenever that changes.
    """

    def __init__(
        self, repository: Path, pool: EnginePool, metrics: Metrics, *, device: str, kept_versions: int,
        on_change: Callable[[Mapping[str, bool]], None], device_by_model: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._repository = repository
        self._pool = pool
        self._metrics = metrics
        self._device = device
        self._device_by_model = device_by_model
        self._kept_versions = kept_versions
        self._on_change = on_change
        self._entries: dict[tuple[str, int], _Entry] = {}
        self._unloading: set[asyncio.Task[None]] = set()
        self._withheld: set[str] = set()
        self._at_work = asyncio.Lock()
        pool.on_reload_failed(self._reload_failed)

    async def watch(self, poll_seconds: float) -> None:
        """Look at the repository again and again, until cancelled."""
        while True:
            await asyncio.sleep(poll_seconds)
            try:
                await self.refresh()
            except OSError as error:
                logger.warning("repository_unreadable path=%s problem=%s", self._repository, error)

    async def refresh(self) -> None:
        """Look at the repository once, and do what `plan` says.

        A version that fails makes an older one wanted, so the plan is made anew until nothing is left to do, or until
        no engine is there to do it: then the next look goes on.
        """
        async with self._at_work:
            await self._refresh()

    async def _refresh(self) -> None:
        while self._pool.up:
            found = await asyncio.to_thread(scan, self._repository)
            self._withheld &= {name for name, _ in found}
            found = {key: stamp for key, stamp in found.items() if key[0] not in self._withheld}
            known = {key: (entry.info.state, entry.stamp) for key, entry in self._entries.items()}
            actions = plan(found, known, kept_versions=self._kept_versions)
            if not actions:
                return
            for action in actions:
                key = (action.name, action.version)
                if action.verb == "load":
                    await self._load(key, found[key])
                else:
                    self._drop(key)

    def withheld(self) -> Sequence[str]:
        """Names that lie in the repository and were taken out by `unload`."""
        return sorted(self._withheld)

    async def load(self, name: str) -> None:
        """Look at the repository, let a model serve that was taken out, and try again what of it has failed.

        Raises:
            ModelNotFoundError: no such model lies in the repository.
            BundleError: its newest version is refused; an older one may serve.
            EngineLostError: no engine is up that could open it.
        """
        async with self._at_work:
            self._withheld.discard(name)
            for key in [key for key, entry in self._entries.items() if key[0] == name and entry.info.state == "failed"]:
                del self._entries[key]
            await self._refresh()
        if not self._pool.up:
            raise EngineLostError("no engine is running; one is being started")
        newest = self._candidates(name)[0].info
        if newest.state != "active":
            raise BundleError(f"model {name}@{newest.version} is {newest.state}: {newest.failure}", model=name)

    async def unload(self, name: str) -> None:
        """Take a model out until `load`; what it is working on is finished.

        Raises:
            ModelNotFoundError: nothing has this name.
        """
        async with self._at_work:
            if name not in self._withheld:
                self._candidates(name)
            self._withheld.add(name)
            for key in [key for key in self._entries if key[0] == name]:
                self._drop(key)

    def infos(self) -> Sequence[ModelInfo]:
        """Every known version, by name, then by version."""
        return [self._entries[key].info for key in sorted(self._entries)]

    def ready_models(self) -> Sequence[ReadyModel]:
        """Every version that answers, by name, then by version."""
        return [entry.ready for _, entry in sorted(self._entries.items()) if entry.ready]

    def info(self, reference: str) -> ModelInfo:
        """One version: newest ready, else newest, or the one that is named.

        Raises:
            ModelNotFoundError: nothing has this name.
        """
        entries = self._candidates(reference)
        return next((entry for entry in entries if entry.ready), entries[0]).info

    @contextmanager
    def lend(self, reference: str) -> Iterator[ReadyModel]:
        """Lend a version that answers; it is not unloaded before it comes back.

        Errors of whoever borrowed it get its name and version among their facts.

        Raises:
            ModelNotFoundError: nothing has this name.
            ModelNotReadyError: it is known, but does not answer.
        """
        entries = self._candidates(reference)
        ready = next((entry.ready for entry in entries if entry.ready), None)
        if ready is None:
            info = entries[0].info
            why = f": {info.failure}" if info.failure else ""
            raise ModelNotReadyError(
                f"model {info.name}@{info.version} is {info.state}{why}", field="model", model=info.name,
                version=info.version,
            )  # fmt: skip
        ready.borrowed += 1
        ready.returned.clear()
        try:
            yield ready
        except ServiceError as error:
            error.facts |= {"model": ready.info.name, "version": str(ready.info.version)}
            raise
        finally:
            ready.borrowed -= 1
            if not ready.borrowed:
                ready.returned.set()

    def _candidates(self, reference: str) -> list[_Entry]:
        """Entries that a reference may mean, newest first; at least one."""
        name, at, version = reference.partition("@")
        found = [self._entries[key] for key in sorted(self._entries, reverse=True) if key[0] == name]
        if at:
            found = [entry for entry in found if str(entry.info.version) == version]
        if not found:
            raise ModelNotFoundError(f"no model is called {reference[:200]!r}", field="model", model=reference[:200])
        return found

    async def _load(self, key: tuple[str, int], stamp: Stamp) -> None:
        name, version = key
        lost = self._entries[key].engines_lost if key in self._entries and self._entries[key].stamp == stamp else 0
        entry = _Entry(ModelInfo(name, version, "loading"), stamp, engines_lost=lost)
        self._entries[key] = entry
        self._tell_change()
        path = self._repository / name / str(version)
        try:
            bundle, tokenizers = await asyncio.to_thread(_open, path)
            entry.ready = await self._serve(bundle, tokenizers, path)
        except EngineLostError as error:
            entry.engines_lost += 1
            if entry.engines_lost >= MOST_ENGINES_LOST:
                self._fail(entry, error.message)
            return
        except ServiceError as error:
            self._fail(entry, error.message)
            return
        entry.info = entry.ready.info
        self._announce(entry.info)

    def _fail(self, entry: _Entry, message: str) -> None:
        entry.ready = None
        entry.info = info = replace(entry.info, state="failed", failure=message)
        self._metrics.add_model(info.name)
        self._metrics.model_load_failures.labels(info.name).inc()
        self._tell_change()
        logger.error("model_failed model=%s version=%d problem=%s", info.name, info.version, message)

    def _reload_failed(self, model_id: int, message: str) -> None:
        """A new engine could not open a model that served until now: it serves no more, on any engine."""
        for entry in self._entries.values():
            if entry.ready is not None and entry.ready.model_id == model_id:
                self._metrics.model_info.remove(*_info_labels(entry.info))
                self._fail(entry, message)
        self._pool.unload(model_id)

    async def _serve(self, bundle: OpenedBundle, tokenizers: tuple[Tokenizer, ...], path: Path) -> ReadyModel:
        manifest = bundle.manifest
        roles = list(manifest.variants[manifest.default_precision].graphs)
        self._metrics.add_model(manifest.name, roles)
        model_id, loaded = await self._pool.load(
            manifest.name, str(path), self._device_by_model.get(manifest.name, self._device)
        )
        if loaded.digest != bundle.digest:
            self._pool.unload(model_id)
            raise BundleError(f"{MANIFEST_NAME} changed while the bundle was being opened; publish a new version")
        for role in LEARNING_GRAPHS.intersection(roles):
            self._metrics.batch_size_limit.labels(manifest.name, role, loaded.provider).set(loaded.batch_size)
        info = replace(
            describe(manifest),
            state="active",
            digest=bundle.digest,
            precision=loaded.precision,
            provider=loaded.provider,
            load_seconds=loaded.load_seconds,
            numerics_class=loaded.numerics_class,
            exact=loaded.exact,
        )
        ready = ReadyModel(model_id, info, manifest.spec, tokenizers)
        ready.returned.set()
        return ready

    def _announce(self, info: ModelInfo) -> None:
        self._metrics.model_load_seconds.labels(info.name).observe(info.load_seconds)
        self._metrics.model_info.labels(*_info_labels(info)).set(1)
        logger.info("model_ready model=%s version=%d load_seconds=%.2f", info.name, info.version, info.load_seconds)
        self._tell_change()

    def _drop(self, key: tuple[str, int]) -> None:
        ready = self._entries.pop(key).ready
        logger.info("model_dropped model=%s version=%d", *key)
        self._tell_change()
        if ready is None:
            return
        self._metrics.model_info.remove(*_info_labels(ready.info))
        task = asyncio.get_running_loop().create_task(self._unload_when_returned(ready))
        self._unloading.add(task)
        task.add_done_callback(self._unloading.discard)

    async def _unload_when_returned(self, ready: ReadyModel) -> None:
        await ready.returned.wait()
        self._pool.unload(ready.model_id)

    def _tell_change(self) -> None:
        answering = {entry.info.name for entry in self._entries.values() if entry.ready}
        self._on_change({name: name in answering for name, _ in self._entries})


def _info_labels(info: ModelInfo) -> tuple[str, ...]:
    return info.name, str(info.version), info.digest, info.precision, info.provider


def _open(path: Path) -> tuple[OpenedBundle, tuple[Tokenizer, ...]]:
    bundle = open_bundle(path)
    return bundle, tokenizers_of(bundle)


def tokenizers_of(bundle: OpenedBundle) -> tuple[Tokenizer, ...]:
    """The tokenizers of a bundle, as many as its task has texts: (source, target) of a translator."""
    return tuple(Tokenizer.from_bytes(bundle.files[text.tokenizer]) for text in text_specs(bundle.manifest.spec))


def describe(manifest: Manifest) -> ModelInfo:
    """What a manifest alone tells of a model."""
    spec = manifest.spec
    info = ModelInfo(
        manifest.name,
        manifest.version,
        "loading",
        task=spec.task,
        precision=manifest.default_precision,
        max_token_count=spec.max_token_count,
        carries_state=carried_state_size(spec) is not None,
    )
    if isinstance(spec, Classification):
        return replace(info, labels=tuple(spec.labels))
    if isinstance(spec, Labelling):
        return replace(info, labels=tuple(spec.labels), features=_features(spec), label_scheme=spec.scheme)
    info = replace(info, max_output_token_count=spec.max_output_token_count)
    if isinstance(spec, Generation):
        return info
    return replace(
        info,
        source_language=spec.source.language or "",
        target_language=spec.target.language or "",
        has_attention=spec.key_size is not None,
    )


def _features(spec: Labelling) -> tuple[FeatureInfo, ...]:
    if not isinstance(spec.input, FeatureInput):
        return ()
    return tuple(
        FeatureInfo(feature.name, feature.unit, None if feature.imputation == "refuse" else feature.imputation)
        for feature in spec.input.features
    )
