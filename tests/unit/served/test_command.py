"""What `python -m tests.served` makes of the scores that come back: each is the card's, or the command fails."""

import re
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from service.bundle.store import open_bundle
from tests.published import newest_published
from tests.served import __main__ as command
from training.comparison.page import PublishedModel
from training.scoring.scores import Score

Change = Callable[[list[Score]], list[Score]]


def card_scores(name: str) -> list[Score]:
    card = PublishedModel.of(open_bundle(newest_published(name))).trained
    return [
        Score(measure, float(value), "", len(value.partition(".")[2])) for measure, value in (card.score, *card.further)
    ]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Change], int]:
    """The command's status where the server's answers score as the card says, but for a change."""

    def run(name: str, change: Change) -> int:
        monkeypatch.setattr(command, "_server", lambda _: nullcontext("nowhere:1"))
        monkeypatch.setattr(command, "load_examples", lambda *_, **__: None)
        monkeypatch.setattr(command, "load_corpus", lambda *_: None)
        monkeypatch.setattr(command, "served_scores", lambda *_: change(card_scores(name)))
        return command.main([name, "--data", "nowhere"])

    return run


@pytest.mark.parametrize(
    ("name", "change", "status", "told"),
    [
        pytest.param(
            "imdb", lambda all_: all_, 0, r"imdb@\d+: accuracy [\d.]+, as its card has it", id="as the card says"
        ),
        pytest.param(
            "imdb", lambda all_: all_[1:], 1, r"imdb@\d+: accuracy: its card has it, and it was not", id="missing"
        ),
        pytest.param(
            "imdb",
            lambda all_: [Score("accuracy", 1.0, ""), *all_[1:]],
            1,
            r"imdb@\d+: accuracy 1\.00, its card: [\d.]+\n",
            id="another value",
        ),
        pytest.param(
            "melody",
            lambda all_: all_[1:],
            0,
            r"melody@\d+: bits per character: no method of the service tells it",
            id="what no method tells",
        ),
    ],
)
def test_each_score_is_the_card_s_or_the_command_fails(
    run: Callable[[str, Change], int],
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Change,
    status: int,
    told: str,
) -> None:
    assert run(name, change) == status
    assert re.search(told, capsys.readouterr().out)


def test_a_model_that_is_not_published_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["nobody", "--data", "nowhere"])
    assert ended.value.code == 2
    assert "nobody: not published; published are en-it, imdb" in capsys.readouterr().err
