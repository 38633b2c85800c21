"""Our own step loop without a service, as a bare model: a batch of texts in, their answers out.

In beam search and the like it is the limit: a bare loop would have to write the same search again. One text at a time,
it says what samples and beams the service has to answer.
"""

from pathlib import Path

import numpy as np

from service.bundle.store import open_bundle
from service.engine.decode import DecodeLoop
from service.engine.requests import DEFAULT_LENGTH_PENALTY, DecodeOptions, DecodeRequest
from service.engine.rows import GenerationRows, TranslationRows
from service.engine.sampling import Sampling
from service.runtime.models import LanguageModel, TranslationModel, load_model
from service.text.tokenizer import Tokenizer
from tests.bench.serving.peers.bare_models import Answer

BEAM, TOP_K = 4, 40
TOP_P = float(np.float32(0.9))
"""As the protocol carries it."""


class EngineModel:
    """Translates or generates with `service.engine`; requests join as others leave.

    Args:
        folder: the bundle.
        mode: as `BareSpec.mode`.
        rows: that step together.
        token_count: most tokens to write; None: as many as the model may.
    """

    def __init__(self, folder: Path, mode: str, rows: int, token_count: int | None = None) -> None:
        bundle = open_bundle(folder)
        model = load_model(bundle)
        if isinstance(model, TranslationModel):
            spec = model.spec
            self._rows: TranslationRows | GenerationRows = TranslationRows(model)
            source, target, most = spec.source, spec.target, spec.max_output_token_count
        elif isinstance(model, LanguageModel):
            self._rows = GenerationRows(model)
            source = target = model.spec.text
            most = model.spec.max_output_token_count
        else:
            raise TypeError(f"{folder}: a {bundle.manifest.spec.task} model has no steps")
        self._source = Tokenizer.from_bytes(bundle.files[source.tokenizer])
        self._target = Tokenizer.from_bytes(bundle.files[target.tokenizer])
        self._options = options_of(mode, min(token_count or most, most))
        self._capacity = max(rows, self._options.row_count)

    def answers(self, texts: list[str]) -> list[Answer]:
        """The best hypothesis of each text."""
        loop = DecodeLoop(self._rows, capacity=self._capacity)
        waiting = [(key, np.array(self._source.encode(text), dtype=np.int64)) for key, text in enumerate(texts)]
        written: list[list[int]] = [[] for _ in texts]
        while waiting or loop.count:
            joining = [waiting.pop() for _ in range(min(loop.free // self._options.row_count, len(waiting)))]
            requests = [DecodeRequest(key, ids, self._options) for key, ids in joining]
            for finished in (loop.join(requests) if requests else []) + loop.step():
                written[finished.key] = finished.hypotheses[0].token_ids if finished.hypotheses else []
        return [(self._target.decode(ids), len(ids)) for ids in written]


def answers_alone(folder: Path, texts: list[str], mode: str, token_count: int | None = None) -> list[Answer]:
    """What our engine answers to each text while it has no other; arguments as `EngineModel` takes them."""
    model = EngineModel(folder, mode, 1, token_count)
    return [model.answers([text])[0] for text in texts]


def options_of(mode: str, limit: int) -> DecodeOptions:
    """What a mode asks of the step loop."""
    if mode == "beam":
        return DecodeOptions(limit, beam_size=BEAM, length_penalty=DEFAULT_LENGTH_PENALTY, keep_scores=True)
    if mode == "greedy":
        return DecodeOptions(limit)
    top_k, top_p = TOP_K if mode == "top_k" else 0, TOP_P if mode == "top_p" else 1.0
    return DecodeOptions(limit, sampling=Sampling(temperature=1.0, top_k=top_k, top_p=top_p, seed=1))
