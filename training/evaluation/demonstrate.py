"""Runs a bundle on a few examples for people to look at, through the service's own engine.   Scores nothing.

`training.evaluation.evaluate` measures; this shows: where a translator looked, how a language model goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.bundle.manifest import Precision, TextSpec
from service.bundle.store import OpenedBundle
from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, Hypothesis
from service.engine.rows import GenerationRows, TranslationRows
from service.engine.sampling import Sampling
from service.runtime.models import LanguageModel, TranslationModel, load_model
from service.text.tokenizer import Tokenizer
from training.errors import DataError


@dataclass(frozen=True)
class AttendedTranslation:
    """A translation and where the decoder looked while it wrote.

    Attributes:
        source: as it was given.
        translation: what was made of it.
        source_tokens: the end included.
        target_tokens: the end not included.
        weights: [target tokens, source tokens].
    """

    source: str
    translation: str
    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: npt.NDArray[np.float32]


def translate_attentively(bundle: OpenedBundle, sources: Sequence[str]) -> list[AttendedTranslation]:
    """Translate greedily and keep the attention. What has none, or becomes an empty translation, is left out.

    Raises:
        DataError: the bundle is no translator.
    """
    model = load_model(bundle)
    if not isinstance(model, TranslationModel):
        raise DataError(f"{bundle.path}: expected a translator, found one for {bundle.manifest.spec.task}")
    if model.spec.key_size is None:
        return []
    source, target = (tokenizer_of(bundle, text) for text in (model.spec.source, model.spec.target))
    encoded = [source.encode(text)[: model.spec.max_token_count - 1] for text in sources]
    limit = model.spec.max_output_token_count
    options = DecodeOptions(limit, keep_attention=True)
    requests = [DecodeRequest(key, np.array(ids, dtype=np.int64), options) for key, ids in enumerate(encoded)]
    found = []
    for key, best in _run(DecodeLoop(TranslationRows(model), capacity=len(requests)), requests).items():
        if best.token_ids and best.attention is not None:
            read, written = source.tokens([*encoded[key], model.source_eos_id]), target.tokens(best.token_ids)
            text = target.decode(best.token_ids)
            found.append(AttendedTranslation(sources[key], text, tuple(read), tuple(written), best.attention))
    return found


def continue_texts(
    bundle: OpenedBundle, prompts: Sequence[str], *, temperature: float, seed: int, precision: Precision | None = None
) -> list[str]:
    """Continue each prompt by sampling, up to the bundle's bound, on a CPU.

    Args:
        bundle: of a language model.
        prompts: beginnings; empty ones will do.
        temperature: below 1, likelier tokens.
        seed: of the first prompt; the others count up from it.
        precision: of the variant; None: the default.

    Raises:
        DataError: the bundle is no language model.
    """
    model = load_model(bundle, precision=precision, emulate_fp16=True)
    if not isinstance(model, LanguageModel):
        raise DataError(f"{bundle.path}: expected a language model, found one for {bundle.manifest.spec.task}")
    tokenizer = tokenizer_of(bundle, model.spec.text)
    limit = model.spec.max_output_token_count
    requests = [
        DecodeRequest(
            key,
            np.array(tokenizer.encode(prompt), dtype=np.int64),
            DecodeOptions(limit, sampling=Sampling(temperature, seed=seed + key)),
        )
        for key, prompt in enumerate(prompts)
    ]
    produced = _run(DecodeLoop(GenerationRows(model), capacity=len(requests)), requests)
    return [tokenizer.decode(produced[key].token_ids) for key in range(len(requests))]


def tokenizer_of(bundle: OpenedBundle, text: TextSpec) -> Tokenizer:
    """Return the tokenizer that a bundle ships for one of its texts."""
    return Tokenizer.from_bytes(bundle.files[text.tokenizer])


def _run(loop: DecodeLoop, requests: Sequence[DecodeRequest]) -> dict[int, Hypothesis]:
    """Decode all requests side by side; return the best hypothesis of each by its key, if its logits were finite."""
    ended = loop.join(requests)
    while loop.count:
        ended += loop.step()
    return {one.key: one.hypotheses[0] for one in sorted(ended, key=lambda one: one.key) if one.hypotheses}
