"""Settings: flag, then environment, then default; a mistake is one line."""

from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import ServiceSettings, join_address, parse_settings, split_address


def parse(models: Path, *flags: str) -> ServiceSettings:
    return parse_settings(["--models", str(models), *flags])


def test_defaults_are_those_of_the_readme(tmp_path: Path) -> None:
    settings = parse(tmp_path)
    assert settings.models == tmp_path
    assert (settings.grpc_address, settings.metrics_address) == ("127.0.0.1:50051", "127.0.0.1:9464")
    assert (settings.max_text_characters, settings.max_request_characters) == (20_000, 512_000)
    assert (settings.drain_seconds, settings.grpc.drain_seconds) == (1, 1)
    assert (settings.max_message_bytes, settings.queue_capacity) == (4 * 1024 * 1024, 512)


def test_the_environment_wins_over_the_default_and_a_flag_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQSERVE_QUEUE_CAPACITY", "600")
    monkeypatch.setenv("SEQSERVE_DECODE_SLOTS", "")
    assert parse(tmp_path).queue_capacity == 600
    assert parse(tmp_path, "--queue-capacity", "700").queue_capacity == 700
    assert parse(tmp_path).decode_slots == 64


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        pytest.param(["--queue-capacity", "255"], "queue_capacity is '255': it should be greater than", id="low"),
        pytest.param(["--queue-capacity", "x"], "queue_capacity is 'x': it should be a valid integer", id="no number"),
        pytest.param(["--padding-budget", "1.5"], "padding_budget is '1.5': it should be less than", id="high"),
        pytest.param(["--drain-seconds", "nan"], "drain_seconds is 'nan': it should be a finite number", id="nan"),
        pytest.param(["--engine-layout", "x"], "engine_layout is 'x': it should be 'process',", id="choice"),
        pytest.param(["--grpc-address", "localhost"], "grpc_address is 'localhost': expected HOST:PORT", id="address"),
        pytest.param(["--models", "/does/not/exist"], "models is '/does/not/exist': Path", id="folder"),
        pytest.param(
            ["--max-request-characters", "100"], "max_request_characters is 100, it should be at least max_text_c",
            id="limits that contradict each other",
        ),
        pytest.param(["--state-keys", "/no/keys"], "state_keys is '/no/keys': Path does not", id="no key file"),
        pytest.param(["--state-token-seconds", "0"], "state_token_seconds is '0': it should be", id="no lifetime"),
        pytest.param(
            ["--state-keys", __file__, "--ephemeral-state-key"], "state_keys and ephemeral_state_key are both set",
            id="two kinds of keys",
        ),
        pytest.param(["--workers", "0"], "workers is '0': it should be greater than or equal to 1", id="no worker"),
        pytest.param(["--device", "tpu"], "device is 'tpu': expected cpu, cuda or auto, or MODEL=", id="device"),
        pytest.param(["--device", "a=cpu,a=cuda"], "device is 'a=cpu,a=cuda': a is chosen twice", id="device twice"),
        pytest.param(["--device", "=cuda"], "device is '=cuda': expected cpu", id="device of no model"),
        pytest.param(["--colour", "red"], "unrecognized arguments: --colour red", id="unknown flag"),
        pytest.param(["--queue-capacity"], "argument --queue-capacity: expected one argument", id="no value"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_setting_value_and_expectation(tmp_path: Path, flags: list[str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(tmp_path, *flags)
    assert caught.value.message.startswith(line)
    assert "\n" not in caught.value.message


def test_a_folder_of_bundles_must_be_given() -> None:
    with pytest.raises(SettingsError, match=r"models is not set \(flag --models or SEQSERVE_MODELS\)"):
        parse_settings([])


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = parse(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        settings.decode_slots = 1


def test_the_grpc_share_is_taken_from_the_whole(tmp_path: Path) -> None:
    grpc = parse(tmp_path, "--grpc-address", "0.0.0.0:0", "--no-reflection", "--max-connection-age-seconds", "9").grpc
    assert (grpc.address, grpc.reflection, grpc.max_connection_age_seconds) == ("0.0.0.0:0", False, 9)


@pytest.mark.parametrize(("address", "parts"), [("h:1", ("h", 1)), ("[::1]:0", ("::1", 0)), ("h:65535", ("h", 65535))])
def test_an_address_splits_and_joins(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts
    assert join_address(*parts) == address


@pytest.mark.parametrize("address", ["", ":1", "h", "h:", "h:x", "h:-1", "h:65536", "h:\N{SUPERSCRIPT TWO}"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_address(address)


@pytest.mark.parametrize(
    ("flags", "default", "by_model"),
    [
        pytest.param([], "cpu", {}, id="default"),
        pytest.param(["--device", "auto"], "auto", {}, id="for all"),
        pytest.param(["--device", "en-it=cuda"], "cpu", {"en-it": "cuda"}, id="for one"),
        pytest.param(["--device", "cuda", "--device", "a=cpu"], "cuda", {"a": "cpu"}, id="repeated"),
        pytest.param(["--device", "cuda, a=cpu,b=auto"], "cuda", {"a": "cpu", "b": "auto"}, id="joined"),
    ],
)
def test_a_device_is_chosen_for_all_models_and_for_single_ones(
    tmp_path: Path, flags: list[str], default: str, by_model: dict[str, str]
) -> None:
    devices = parse(tmp_path, *flags).devices
    assert (devices.default, devices.by_model) == (default, by_model)


def test_devices_and_workers_come_from_the_environment_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQSERVE_DEVICE", "auto,en-it=cpu")
    monkeypatch.setenv("SEQSERVE_WORKERS", "3")
    settings = parse(tmp_path)
    assert (settings.devices.default, settings.devices.by_model) == ("auto", {"en-it": "cpu"})
    assert settings.workers == 3


@pytest.mark.parametrize(
    ("flags", "cores", "expected"),
    [
        pytest.param([], 16, 1, id="the default is one"),
        pytest.param(["--workers", "5"], 1, 5, id="as told"),
        pytest.param(["--workers", "auto"], 1, 1, id="at least one"),
        pytest.param(["--workers", "auto"], 7, 3, id="a front and an engine take two cores"),
        pytest.param(["--workers", "auto", "--engine-count", "3"], 8, 2, id="several engines"),
        pytest.param(["--workers", "auto", "--engine-layout", "inline"], 8, 8, id="no engine process"),
    ],
)
def test_workers_are_as_many_as_told_or_as_the_cores_have_room_for(
    tmp_path: Path, flags: list[str], cores: int, expected: int
) -> None:
    assert parse(tmp_path, *flags).worker_count(cores) == expected


@pytest.mark.parametrize(
    ("flags", "cores", "expected"),
    [
        pytest.param([], 1, 1, id="one core"),
        pytest.param([], 4, 4, id="one for each core"),
        pytest.param([], 64, 8, id="as many as a front feeds"),
        pytest.param(["--engine-count", "12"], 2, 12, id="as told"),
        pytest.param(["--workers", "2"], 6, 3, id="workers share the cores"),
        pytest.param(["--workers", "4"], 2, 1, id="at least one"),
        pytest.param(["--workers", "auto"], 8, 1, id="workers that are as many as cores have room for have one each"),
        pytest.param(["--workers", "auto"], 3, 3, id="one worker, be it by auto, has as many as cores"),
        pytest.param(["--device", "cuda"], 8, 1, id="one for a GPU"),
        pytest.param(["--device", "a=cuda"], 8, 1, id="one where one model is on a GPU"),
        pytest.param(["--engine-layout", "inline"], 8, 1, id="inside the front there is one"),
    ],
)
def test_engines_are_as_many_as_told_or_as_the_cores(
    tmp_path: Path, flags: list[str], cores: int, expected: int
) -> None:
    assert parse(tmp_path, *flags).engines_per_worker(cores) == expected


@pytest.mark.parametrize(
    ("flags", "cores", "expected"),
    [
        pytest.param([], 8, 7, id="the front has one"),
        pytest.param([], 1, 1, id="one at least"),
        pytest.param(["--workers", "2"], 6, 2, id="each worker has its share"),
        pytest.param(["--workers", "4"], 2, 1, id="one at least of each worker"),
    ],
)
def test_all_cores_but_the_fronts_are_engines_own(tmp_path: Path, flags: list[str], cores: int, expected: int) -> None:
    assert parse(tmp_path, *flags).engines_with_own_core(cores) == expected


def test_settings_travel_to_a_worker_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = parse(tmp_path, "--device", "auto,a=cpu", "--workers", "2", "--queue-capacity", "700")
    monkeypatch.setenv("SEQSERVE_QUEUE_CAPACITY", "600")
    again = ServiceSettings.model_validate_json(settings.model_dump_json())
    assert again.model_dump() == settings.model_dump()
    assert again.grpc.port_shared
