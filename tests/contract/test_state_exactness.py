"""State that travels, on trained weights: what goes on elsewhere is the same, bit for bit.

On the sample models in fp32 and in int8, and on the published writers, whose int8 has a prefill, which that of a GRU
has not. Alone and among others that join and leave, in every mode. The control goes on without the state and must come
out otherwise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from service.bundle.store import OpenedBundle, open_bundle
from service.engine.classify import logits_by_row
from service.engine.constraints import Constraints
from service.engine.decode import DecodeLoop
from service.engine.requests import DecodeOptions, DecodeRequest, News
from service.engine.rows import GenerationRows
from service.engine.sampling import Sampling
from service.engine.steps import Carried, FloatArray, IntArray
from service.runtime.models import LabellerModel, LanguageModel, load_model
from service.serving.engines.exactness import take_some
from service.serving.engines.runnable import batched_graph
from tests.published import newest_published
from tests.trained import exported_in_both, trained_models

COUNT = 24
SLOTS = 17
LABELLERS = ("sample-rain", "sample-clue-one-direction")
PRECISIONS = ("fp32", "int8")
PUBLISHED_WRITERS = ("melody", "shakespeare")
WRITERS = pytest.mark.parametrize(
    ("name", "precision"),
    [*(("sample-melody", precision) for precision in PRECISIONS), *((name, "int8") for name in PUBLISHED_WRITERS)],
)
MODES = (
    DecodeOptions(COUNT),
    DecodeOptions(COUNT, Sampling(1.0, seed=1)),
    DecodeOptions(COUNT, Sampling(1.3, top_k=40, top_p=0.9, min_p=0.01, seed=2)),
    DecodeOptions(COUNT, Sampling(0.8, seed=3), constraints=Constraints(9, 1.3, 3, ((5, 1.5), (6, -np.inf)))),
    DecodeOptions(COUNT, constraints=Constraints(COUNT, 1.2, 4)),
    DecodeOptions(COUNT, Sampling(1.0, seed=4), sample_count=3),
)

Trace = list[tuple[list[int], list[float], bytes]]
"""Per telling: tokens, their log-probabilities, and the bits of the state after them."""


@pytest.fixture(scope="module")
def bundles() -> Mapping[str, OpenedBundle]:
    trained_models()
    samples = {name: exported_in_both(name) for name in ("sample-melody", *LABELLERS)}
    return samples | {name: open_bundle(newest_published(name)) for name in PUBLISHED_WRITERS}


def writer(bundles: Mapping[str, OpenedBundle], name: str, precision: str) -> LanguageModel:
    model = load_model(bundles[name], precision=precision)
    assert isinstance(model, LanguageModel)
    return model


def trace(told: Sequence[News], sample: int = 0) -> Trace:
    return [
        (news.token_ids, news.log_probabilities, b"" if news.carried is None else news.carried.state.tobytes())
        for news in told
        if news.sample == sample
    ]


def decoded(rows: GenerationRows, requests: Sequence[DecodeRequest], random: np.random.Generator) -> list[list[News]]:
    """What is told of each request; they join at random times, as others leave."""
    loop = DecodeLoop(rows, capacity=SLOTS)
    told: dict[int, list[News]] = {request.key: [] for request in requests}
    waiting = list(requests)[::-1]
    while waiting or loop.count:
        joining = take_some(waiting, loop.free, int(random.integers(1, 6)))
        for advance in (lambda joining=joining: loop.join(joining), loop.step):
            advance()
            for news in loop.news():
                told[news.key].append(news)
    return [told[request.key] for request in requests]


def begun(model: LanguageModel, random: np.random.Generator) -> list[DecodeRequest]:
    """Texts in every mode after prompts of many lengths, which tell their state after every token."""
    vocabulary = model.spec.text.vocabulary_size
    kept = [replace(mode, keep_state=True, state_interval=1, keep_scores=True) for mode in MODES]
    prompts = [
        random.integers(4, vocabulary, int(random.integers(0, 20)), dtype=np.int64) for _ in range(8 * len(MODES))
    ]
    return [DecodeRequest(key, prompt, kept[key % len(MODES)], streams=True) for key, prompt in enumerate(prompts)]


def interrupted(
    requests: Sequence[DecodeRequest], told: Sequence[Sequence[News]], random: np.random.Generator
) -> Iterator[tuple[DecodeRequest, Trace]]:
    """Each sample of each text, cut at a random place: what goes on, and what should come of it."""
    for request, news in zip(requests, told, strict=True):
        for sample in range(request.options.sample_count):
            own = [one for one in news if one.sample == sample]
            if len(own) < 2:
                continue
            cut = int(random.integers(1, len(own)))
            carried = own[cut - 1].carried
            assert carried is not None
            yield _rest(request, carried), trace(own[cut:], sample)


def _rest(request: DecodeRequest, carried: Carried) -> DecodeRequest:
    options, written = request.options, carried.token_count
    least = max(0, options.constraints.min_output_token_count - written)
    options = replace(
        options,
        max_output_token_count=options.max_output_token_count - written,
        sample_count=1,
        constraints=replace(options.constraints, min_output_token_count=least),
    )
    nothing = np.array([], dtype=np.int64)
    return DecodeRequest(1000 + request.key * 10 + carried.sample, nothing, options, streams=True, carried=carried)


@WRITERS
def test_texts_go_on_to_the_bit_in_every_mode_among_others(
    bundles: Mapping[str, OpenedBundle], name: str, precision: str
) -> None:
    model = writer(bundles, name, precision)
    random = np.random.default_rng(7)
    rows, requests = GenerationRows(model), begun(model, random)
    wholes = decoded(rows, requests, random)
    cases = list(interrupted(requests, wholes, random))
    assert len(cases) > 40
    neighbours = [replace(request, key=request.key + 5000) for request in requests[:20]]
    crowd = [*(request for request, _ in cases), *neighbours]
    order = random.permutation(len(crowd))
    told = decoded(rows, [crowd[place] for place in order], random)
    found = {crowd[place].key: trace(news) for place, news in zip(order, told, strict=True)}
    assert [found[request.key] for request, _ in cases] == [expected for _, expected in cases]
    alone = [trace(decoded(rows, [request], random)[0]) for request, _ in cases[::5]]
    assert alone == [expected for _, expected in cases[::5]]


def test_a_text_that_goes_on_without_its_state_comes_out_otherwise(bundles: Mapping[str, OpenedBundle]) -> None:
    model = writer(bundles, "sample-melody", "fp32")
    random = np.random.default_rng(7)
    rows, requests = GenerationRows(model), begun(model, random)
    cases = list(interrupted(requests, decoded(rows, requests, random), random))
    emptied = [
        replace(request, carried=replace(request.carried, state=np.zeros_like(request.carried.state)))
        for request, _ in cases
        if request.carried is not None
    ]
    told = decoded(rows, emptied, random)
    assert not any(trace(news) == expected for news, (_, expected) in zip(told, cases, strict=True))


@WRITERS
def test_a_prompt_after_a_text_is_read_as_if_all_had_been_the_prompt(
    bundles: Mapping[str, OpenedBundle], name: str, precision: str
) -> None:
    model = writer(bundles, name, precision)
    random = np.random.default_rng(8)
    rows = GenerationRows(model)
    options = DecodeOptions(9, keep_state=True, state_interval=1, keep_scores=True)
    compared = 0
    for length in (1, 2, 7, 16):
        first, more = (
            random.integers(4, model.spec.text.vocabulary_size, size, dtype=np.int64) for size in (5, length)
        )
        (told,) = decoded(rows, [DecodeRequest(0, first, options, streams=True)], random)
        last = told[-1].carried
        if last is None:
            continue  # it came to its own end
        text = np.array([token for news in told for token in news.token_ids], dtype=np.int64)
        whole = np.concatenate([first, text, more])
        again, fresh = decoded(
            rows,
            [
                DecodeRequest(0, more, options, streams=True, carried=last),
                DecodeRequest(1, whole, options, streams=True),
            ],
            random,
        )
        assert trace(again) == trace(fresh)
        compared += 1
    assert compared > 1


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", LABELLERS)
def test_sequences_go_on_to_the_bit_among_others_and_beside_any_padding(
    bundles: Mapping[str, OpenedBundle], name: str, precision: str
) -> None:
    model = load_model(bundles[name], precision=precision)
    assert isinstance(model, LabellerModel)
    random = np.random.default_rng(9)
    sequences = _sequences(model, 60, random)
    zeros = np.zeros((len(sequences), model.spec.state_size or 0), dtype=np.float32)
    whole = [_labelled(model, [one], zeros[:1])[0] for one in sequences]
    cuts = [int(random.integers(1, len(one))) for one in sequences]
    first = _in_groups(model, [one[:cut] for one, cut in zip(sequences, cuts, strict=True)], zeros, random)
    states = np.stack([state for _, state in first])
    second = _in_groups(model, [one[cut:] for one, cut in zip(sequences, cuts, strict=True)], states, random)
    lost = _in_groups(model, [one[cut:] for one, cut in zip(sequences, cuts, strict=True)], zeros, random)
    for (logits, state), before, after, without in zip(whole, first, second, lost, strict=True):
        assert before[0].tobytes() + after[0].tobytes() == logits.tobytes()
        assert after[1].tobytes() == state.tobytes()
        assert without[0].tobytes() != after[0].tobytes()


def _sequences(model: LabellerModel, count: int, random: np.random.Generator) -> list[npt.NDArray[np.generic]]:
    shape = model.sessions["labeller"].graph.inputs[0].shape
    lengths = [int(random.integers(2, 60)) for _ in range(count)]
    if len(shape) == 2:
        return [random.integers(4, 40, length, dtype=np.int64) for length in lengths]
    return [random.normal(0, 1, (length, int(shape[2]))).astype(np.float32) for length in lengths]


def _labelled(
    model: LabellerModel, sequences: Sequence[npt.NDArray[np.generic]], states: FloatArray
) -> list[tuple[FloatArray, FloatArray]]:
    graph = batched_graph(model)
    assert graph.carrying is not None
    steps, lengths = graph.pad([one.tolist() for one in sequences])
    logits, after = graph.carrying.run(steps, lengths, states)
    return list(zip(logits_by_row(logits, lengths), after, strict=True))


def _in_groups(
    model: LabellerModel,
    sequences: Sequence[npt.NDArray[np.generic]],
    states: FloatArray,
    random: np.random.Generator,
) -> list[tuple[FloatArray, FloatArray]]:
    """As `_labelled`, in random groups."""
    order: IntArray = random.permutation(len(sequences))
    found: dict[int, tuple[FloatArray, FloatArray]] = {}
    while len(order):
        size = int(random.integers(1, 18))
        group, order = order[:size], order[size:]
        answers = _labelled(model, [sequences[place] for place in group], states[group])
        found |= dict(zip(group.tolist(), answers, strict=True))
    return [found[place] for place in range(len(sequences))]
