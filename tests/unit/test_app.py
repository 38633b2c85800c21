"""Readiness: what the parts report, and what health says of it."""

import pytest

from service.app import Readiness, make_host
from service.errors import SettingsError
from service.settings import parse_settings
from service.transport.health import HealthBoard


@pytest.fixture
def board() -> HealthBoard:
    return HealthBoard()


def test_nothing_is_ready_before_models_engines_and_the_first_look(board: HealthBoard) -> None:
    readiness = Readiness(board)
    readiness.engines_changed(True)
    readiness.models_changed({"a"})
    assert board.get("readiness") is False
    readiness.started()
    assert board.get("readiness") is True
    assert board.get("a") is True


def test_an_empty_repository_is_not_ready(board: HealthBoard) -> None:
    readiness = Readiness(board)
    readiness.engines_changed(True)
    readiness.started()
    assert board.get("readiness") is False


def test_a_lost_engine_takes_every_model_with_it_until_it_is_back(board: HealthBoard) -> None:
    readiness = Readiness(board)
    readiness.engines_changed(True)
    readiness.models_changed({"a", "b"})
    readiness.started()
    readiness.engines_changed(False)
    assert [board.get(name) for name in ("a", "b", "readiness")] == [False, False, False]
    readiness.engines_changed(True)
    assert [board.get(name) for name in ("a", "b", "readiness")] == [True, True, True]


def test_a_model_that_is_gone_serves_no_more(board: HealthBoard) -> None:
    readiness = Readiness(board)
    readiness.engines_changed(True)
    readiness.models_changed({"a", "b"})
    readiness.models_changed({"b"})
    assert (board.get("a"), board.get("b")) == (False, True)


def test_liveness_depends_on_no_model(board: HealthBoard) -> None:
    Readiness(board)
    assert board.get("liveness") is True


def test_several_engines_need_the_process_layout(tmp_path: object) -> None:
    settings = parse_settings(["--models", str(tmp_path), "--engine-layout", "thread", "--engine-count", "2"])
    with pytest.raises(SettingsError, match="engine_count is 2"):
        make_host(settings)
