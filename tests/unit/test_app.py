"""Readiness: what the parts report, and what health says of it."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from prometheus_client import CollectorRegistry

from service import app
from service.app import Readiness, choose_devices, make_host, make_tokens, serve
from service.cores import Cores
from service.errors import SettingsError
from service.metrics import Metrics
from service.serving.engines.hosts import Host, ThreadHost
from service.serving.engines.pool import EnginePool
from service.settings import parse_settings, plan_devices
from service.state.keys import new_key_line
from service.transport.standard.health import HealthBoard


@pytest.fixture
def board() -> HealthBoard:
    return HealthBoard()


def test_nothing_is_ready_before_models_engines_and_the_first_look(board: HealthBoard) -> None:
    readiness = Readiness(board)
    readiness.engines_changed(True)
    readiness.models_changed({"a": True})
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
    readiness.models_changed({"a": True, "b": True})
    readiness.started()
    readiness.engines_changed(False)
    assert [board.get(name) for name in ("a", "b", "readiness")] == [False, False, False]
    readiness.engines_changed(True)
    assert [board.get(name) for name in ("a", "b", "readiness")] == [True, True, True]


def test_a_model_that_cannot_answer_does_not_serve_and_one_that_is_gone_is_not_known(board: HealthBoard) -> None:
    readiness = Readiness(board)
    readiness.engines_changed(True)
    readiness.models_changed({"a": True, "b": True, "c": False})
    readiness.models_changed({"b": True, "c": False})
    assert [board.get(name) for name in ("a", "b", "c")] == [None, True, False]


def test_models_of_which_none_can_answer_make_nothing_ready(board: HealthBoard) -> None:
    readiness = Readiness(board)
    readiness.engines_changed(True)
    readiness.started()
    readiness.models_changed({"a": False})
    assert board.get("readiness") is False


def test_liveness_depends_on_no_model(board: HealthBoard) -> None:
    Readiness(board)
    assert board.get("liveness") is True


def test_there_are_no_state_tokens_without_keys_and_a_malformed_file_is_refused(tmp_path: Path) -> None:
    assert make_tokens(parse_settings(["--models", str(tmp_path)])) is None
    keys = tmp_path / "keys"
    keys.touch(mode=0o600)
    settings = parse_settings(["--models", str(tmp_path), "--state-keys", str(keys)])
    with pytest.raises(SettingsError, match="holds no key"):
        make_tokens(settings)
    keys.write_text(new_key_line("a"))
    assert make_tokens(settings) is not None


def test_several_engines_need_the_process_layout(tmp_path: object) -> None:
    settings = parse_settings(["--models", str(tmp_path), "--engine-layout", "thread", "--engine-count", "2"])
    with pytest.raises(SettingsError, match="engine_count is 2"):
        make_host(settings)
    settings = parse_settings(["--models", str(tmp_path), "--engine-layout", "inline", "--engine-niceness", "3"])
    with pytest.raises(SettingsError, match="engine_niceness is 3"):
        make_host(settings)
    assert isinstance(make_host(parse_settings(["--models", str(tmp_path), "--engine-layout", "thread"]))(), ThreadHost)


def test_the_pool_is_told_of_cores_and_slots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool(EnginePool):
        given: ClassVar[dict[str, Any]] = {}

        def __init__(self, make_host: Callable[[], Host], **given: Any) -> None:
            super().__init__(make_host, **given)
            self.given.update(given)

    monkeypatch.setattr(app, "EnginePool", Pool)
    monkeypatch.setattr(app, "find_cores", lambda: Cores(6, None))
    settings = parse_settings(["--models", str(tmp_path), "--decode-slots", "9"])
    app._build(settings, Metrics(CollectorRegistry()), HealthBoard(), AsyncExitStack())
    found = {name: Pool.given[name] for name in ("count", "own_core_count", "rows_before_shared_core")}
    assert found == {"count": 6, "own_core_count": 5, "rows_before_shared_core": 9}


def nothing_missing(provider: str) -> str:
    return ""


def no_cuda(provider: str) -> str:
    return "CUDAExecutionProvider is not in onnxruntime 1.32.0"


@pytest.mark.parametrize(
    ("asked", "missing", "chosen"),
    [
        pytest.param(["cpu"], no_cuda, ("cpu",), id="cpu needs nothing"),
        pytest.param(["auto"], no_cuda, ("cpu",), id="auto without cuda"),
        pytest.param(["auto"], nothing_missing, ("cuda",), id="auto with cuda"),
        pytest.param(["auto", "a=cpu"], nothing_missing, ("cuda", "a=cpu"), id="one stays on the cpu"),
        pytest.param(["a=auto"], no_cuda, ("cpu", "a=cpu"), id="auto for one"),
        pytest.param(["a=cuda"], nothing_missing, ("cpu", "a=cuda"), id="cuda for one"),
    ],
)
def test_auto_takes_cuda_where_it_is_and_says_which(
    asked: list[str], missing: object, chosen: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert choose_devices(plan_devices(asked), missing) == chosen  # type: ignore[arg-type]
    assert f"device_chosen model=* asked={plan_devices(asked).default} chosen={chosen[0]}" in caplog.messages


@pytest.mark.parametrize(
    ("asked", "whose"), [(["cuda"], "the device"), (["auto", "en-it=cuda"], "the device of model en-it")]
)
def test_a_device_that_is_asked_for_and_missing_is_refused(asked: list[str], whose: str) -> None:
    with pytest.raises(SettingsError) as caught:
        choose_devices(plan_devices(asked), no_cuda)
    assert caught.value.message == f"{whose} is cuda, but CUDAExecutionProvider is not in onnxruntime 1.32.0"


def test_where_only_the_cpu_is_asked_for_nothing_is_tried() -> None:
    def try_nothing(provider: str) -> str:
        raise AssertionError(provider)

    assert choose_devices(plan_devices(["cpu", "a=cpu"]), try_nothing) == ("cpu", "a=cpu")


async def test_clients_control_the_repository_of_one_worker_alone(tmp_path: Path) -> None:
    settings = parse_settings(["--models", str(tmp_path), "--repository-control", "--workers", "2"])
    with pytest.raises(SettingsError, match="repository_control reaches one worker alone, and workers is 2"):
        await serve(settings)
