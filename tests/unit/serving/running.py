"""A front over a real catalog and an engine on the event loop."""

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from service.metrics import Metrics
from service.serving.catalog import Catalog, ReadyModel
from service.serving.engines.engine_loop import EngineLimits
from service.serving.engines.hosts import InlineHost
from service.serving.engines.pool import EnginePool
from service.serving.front import Front
from service.text.tokenizer import Tokenizer


class GatedTokenizer(Tokenizer):
    """Splits texts, beside the event loop only after a gate was opened, and notes which, and on which threads."""

    def __init__(self, other: Tokenizer) -> None:
        super().__init__(other._backend)
        self.gate = threading.Event()
        self.split: list[tuple[str, threading.Thread]] = []

    def encode(self, text: str) -> list[int]:
        self.split.append((text, threading.current_thread()))
        if threading.current_thread() is not threading.main_thread():
            self.gate.wait(5)
        return super().encode(text)


@dataclass(frozen=True)
class Running:
    front: Front
    catalog: Catalog
    registry: CollectorRegistry

    def sample(self, name: str, model: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"seqserve_{name}", {"model": model, **labels})

    def rejected(self, model: str, reason: str) -> float | None:
        return self.sample("requests_rejected_total", model, reason=reason)

    @asynccontextmanager
    async def gated(self, model: str) -> AsyncIterator[tuple[ReadyModel, GatedTokenizer]]:
        """Give a model a tokenizer with a gate, which is open in the end."""
        with self.catalog.lend(model) as ready:
            tokenizer = GatedTokenizer(ready.tokenizers[0])
            ready.tokenizers = (tokenizer, *ready.tokenizers[1:])
        try:
            yield ready, tokenizer
        finally:
            tokenizer.gate.set()


@asynccontextmanager
async def running(repository: Path, host: type[InlineHost] = InlineHost) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    limits = EngineLimits(max_batch_size=8, decode_slots=4, padding_budget=0.25)
    pool = EnginePool(lambda: host(limits), count=1, metrics=metrics, on_change=lambda up: None)
    await pool.start()
    try:
        catalog = Catalog(repository, pool, metrics, device="cpu", kept_versions=1, on_change=lambda names: None)
        await catalog.refresh()
        front = Front(
            catalog,
            pool,
            metrics,
            queue_capacity=64,
            decode_slots=4,
            max_text_characters=10_000,
            max_request_characters=30_000,
        )
        yield Running(front, catalog, registry)
    finally:
        await pool.close()


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds
