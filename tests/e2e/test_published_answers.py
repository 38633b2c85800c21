"""Each published bundle, asked a few real questions: a real server process, the client that people install.

A question has an answer that anybody can judge. A bundle without questions here fails.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.published import COLD_FRONT, FINE_WEEK
from seqserve import Client, ModelState
from tests.e2e.calls import running_server
from tests.published import PUBLISHED, each_published_bundle, published_folders
from training.evaluation.tunes import check_tunes


@dataclass(frozen=True)
class Question:
    """What a model is asked, and the expression that its answer, as text, has to hold."""

    text: str
    expected: str
    ask: Callable[[Client, str, str], str]


def label_of(client: Client, model: str, text: str) -> str:
    return client.classify(model, text).classifications[0].best.label


def translation_of(client: Client, model: str, text: str) -> str:
    """Of a call that sets nothing."""
    return client.translate(model, text).translations[0].text


def beam_translation_of(client: Client, model: str, text: str) -> str:
    return client.translate(model, text, beam_size=5).translations[0].text


def tags_of(client: Client, model: str, text: str) -> str:
    return " ".join(step.best.label for step in client.label(model, [text.split()]).sequences[0].steps)


def sampled(client: Client, model: str, text: str) -> str:
    """The likeliest characters of a text go round in circles; drawn ones do not."""
    return client.generate_text(model, text, temperature=0.6, seed=1, max_output_token_count=600).text


def tunes_of(client: Client, model: str, text: str) -> str:
    """What a parser of tunes says of five that were sampled. Beginnings and ends of parts are no full bars."""
    tunes = [text + client.generate_text(model, text, seed=seed, temperature=0.5).text for seed in range(5)]
    found = check_tunes(tunes)
    return f"{found.read_count} read, bars {'full' if found.full_share > 65 else 'not full'}"


def rain_after(client: Client, model: str, week: str) -> str:
    days = {"fine": FINE_WEEK, "cold front": COLD_FRONT}[week]
    shares = {score.label: score.probability for score in client.label(model, [days]).sequences[0].steps[-1].labels}
    return "rain" if shares["Yes"] > 0.7 else "dry" if shares["Yes"] < 0.15 else f"unsure, {shares['Yes']:.2f}"


SENTIMENT = (
    Question("a gorgeous , witty and deeply moving film .", "^positive$", label_of),
    Question("the plot is a mess and the acting is terrible .", "^negative$", label_of),
    Question("one of the best films of the year", "^positive$", label_of),
    Question("a waste of time and money", "^negative$", label_of),
)
NEGATED = Question("it is not a good film", "^negative$", label_of)
BLACK_DOG = r"(?i)\bcane nero (saltò|è saltato|ha saltato) (sopra|su)\b.*\bgatto"

QUESTIONS: Mapping[str, tuple[Question, ...]] = {
    "en-it": (
        Question("The black dog jumped over the cat.", BLACK_DOG, translation_of),
        Question("The black dog jumped over the cat.", BLACK_DOG, beam_translation_of),
        Question("The black dog jumped over the cat", BLACK_DOG, translation_of),
        Question("The black dog jumped over the cat", BLACK_DOG, beam_translation_of),
        Question("I don't know where Tom lives.", r"(?i)non so dove (abit|viv|tom (abit|viv))", translation_of),
        Question("I don't know where Tom lives", r"(?i)non so dove (abita|vive) tom$", translation_of),
        Question("Thank you very much.", r"(?i)grazie", translation_of),
        Question("Thank you very much", r"(?i)^(ti |vi |la )?(grazie|ringrazio)( mille| molto)?$", translation_of),
    ),
    "multi30k-en-de": (
        Question("a man is riding a bicycle down the street .", r"\bmann\b.*\bfahr", translation_of),
        Question("two dogs are running through the snow .", r"zwei hunde .*\bschnee\b", translation_of),
        Question("a little girl is playing with a red ball .", r"mädchen .*\broten ball\b", translation_of),
    ),
    "imdb": (
        *SENTIMENT,
        Question("It is not a good film: I was bored, and the ending makes no sense.", "^negative$", label_of),
        Question("I did not like it", "^negative$", label_of),
        Question("this movie isn't good", "^negative$", label_of),
        Question("You won't be disappointed.", "^positive$", label_of),
    ),
    "names": (
        Question("Papadopoulos", "^Greek$", label_of),
        Question("Yamamoto", "^Japanese$", label_of),
        Question("O'Sullivan", "^Irish$", label_of),
        Question("Ivanovsky", "^Russian$", label_of),
    ),
    "pos-tags": (
        Question("The dog runs .", "^DET NOUN VERB PUNCT$", tags_of),
        Question("She quickly wrote two letters to London .", "^PRON ADV VERB NUM NOUN ADP PROPN PUNCT$", tags_of),
        Question("They can fish", "^PRON AUX VERB$", tags_of),
    ),
    "rain-tomorrow": (
        Question("fine", "^dry$", rain_after),
        Question("cold front", "^rain$", rain_after),
    ),
    "melody": (
        Question("M:6/8\nL:1/8\nK:D\n", "^5 read, bars full$", tunes_of),
        Question("M:4/4\nL:1/4\nK:G\n", "^5 read, bars full$", tunes_of),
    ),
    "shakespeare": (
        Question("ROMEO:\n", r"\b(the|and|to|of|my)\b.* \b(the|and|to|of|my)\b", sampled),
        Question("First Citizen:\nWe are accounted poor citizens.\n", r"\n\n[A-Z][A-Za-z ]+:\n", sampled),
    ),
}  # fmt: skip

SHORT_NEGATIONS = (
    NEGATED,
    Question("not bad at all", "^positive$", label_of),
    Question("Not a dull moment. I have seen it three times, and would again.", "^positive$", label_of),
)
"""What `imdb` gets wrong: it learnt from reviews most of all, where a verdict rarely hangs on a single `not`."""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with running_server(PUBLISHED) as server, Client(server.target) as client:
        yield client


def test_all_of_them_are_served(client: Client) -> None:
    served = {model.name: model.state for model in client.list_models()}
    assert served == dict.fromkeys({folder.parent.name for folder in published_folders()}, ModelState.ACTIVE)


@pytest.mark.parametrize("folder", each_published_bundle())
def test_a_published_bundle_answers_right(client: Client, folder: Path) -> None:
    name = folder.parent.name
    assert QUESTIONS.get(name), f"{name}: expected questions for it in {__name__}"
    answers = {question: question.ask(client, name, question.text) for question in QUESTIONS[name]}
    wrong = [
        f"{question.text!r}: {answer!r}, expected {question.expected}"
        for question, answer in answers.items()
        if not re.search(question.expected, answer, re.DOTALL)
    ]
    assert wrong == []


@pytest.mark.xfail(
    strict=True, raises=AssertionError, reason="imdb learnt from whole reviews most of all, and misreads a `not`"
)
@pytest.mark.parametrize("question", [pytest.param(one, id=one.text) for one in SHORT_NEGATIONS])
def test_a_short_negation_is_understood(client: Client, question: Question) -> None:
    assert re.search(question.expected, question.ask(client, "imdb", question.text))
