"""What the service can be told: flag, then environment (`SEQSERVE_...`), then default.   Read once, frozen afterwards.

Knows no part that it configures: each part is handed the values it needs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    DirectoryPath,
    Field,
    FilePath,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import SettingsError

MOST_TEXTS_PER_REQUEST = 256
MAX_TEXT_CHARACTERS = 20_000
"""Some twenty times what the sample models take, and 5 to 10 ms of a core to split into tokens."""
MAX_REQUEST_CHARACTERS = 512_000
"""As many texts as a request may bring, of 2,000 characters each: 0.1 to 0.3 s of a core to split into tokens."""
MAX_TOKENS_PER_RUN = 512
"""A prompt alone is then cut into slices of 16 (batches of 32) to 512 tokens (batches of 1)."""
MOST_AUTO_ENGINES = 8
"""A front spends a tenth of a millisecond on a text of a list of translations, an engine six to eight, so it feeds no
more than that many. Estimated from what two cores do; for longer texts there is `engine_count`."""
STREAM_INTERVAL_SECONDS = 0.02
"""Fifty messages a second read as a text that flows."""
ENVIRONMENT_PREFIX = "SEQSERVE_"


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT` (`[::1]:9464` for IPv6; port 0 lets the system choose).

    Raises:
        ValueError: it is not that.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("expected HOST:PORT with a port from 0 to 65535")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """Join what `split_address` splits."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def why_unusable(error: OSError | UnicodeError) -> str | None:
    """What is wrong with an address that could not be bound, in a few words."""
    if isinstance(error, UnicodeError):  # what Python makes of a label over 63 characters, or an empty one
        return "its host is no valid name"
    return error.strerror


def _check_address(address: str) -> str:
    split_address(address)
    return address


Address = Annotated[str, AfterValidator(_check_address)]

Device = Literal["cpu", "cuda", "auto"]
_DEVICE_CHOICE = re.compile(r"(?:(?P<model>[^=,\s]+)=)?(?P<device>cpu|cuda|auto)")


@dataclass(frozen=True)
class DevicePlan:
    """Which model is meant to run where."""

    default: Device = "cpu"
    by_model: Mapping[str, Device] = field(default_factory=dict)

    def choices(self) -> Iterator[tuple[str, Device]]:
        """Every choice: the default's under the name `*`, then each model's own."""
        yield "*", self.default
        yield from self.by_model.items()


def plan_devices(choices: Sequence[str]) -> DevicePlan:
    """Read choices such as `auto` (for every model) and `en-it=cuda` (for one).

    Raises:
        ValueError: one is neither, or two of them are for the same models.
    """
    found: dict[str, Device] = {}
    for choice in choices:
        read = _DEVICE_CHOICE.fullmatch(choice)
        if read is None:
            raise ValueError(f"expected cpu, cuda or auto, or MODEL= and one of them, not {choice!r}")
        model = read["model"] or "*"
        if model in found:
            raise ValueError(f"{'the device of every model' if model == '*' else model} is chosen twice")
        found[model] = cast("Device", read["device"])
    return DevicePlan(found.pop("*", "cpu"), found)


def _split_choices(given: object) -> object:
    """Let `cuda,en-it=cpu` be two choices, on the command line and in the environment alike."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence):
        return given
    return tuple(choice.strip() for text in texts for choice in str(text).split(","))


def _check_choices(choices: tuple[str, ...]) -> tuple[str, ...]:
    plan_devices(choices)
    return choices


DeviceChoices = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_choices), AfterValidator(_check_choices)]


class GrpcSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The gRPC server's share of the settings; `ServiceSettings` explains each."""

    address: Address = "127.0.0.1:50051"
    reflection: bool = True
    drain_seconds: NonNegativeFloat = 1.0
    grace_seconds: NonNegativeFloat = 20.0
    max_request_seconds: PositiveFloat = 60.0
    max_message_bytes: PositiveInt = 4 * 1024 * 1024
    max_concurrent_rpcs: PositiveInt = 2000
    max_connection_age_seconds: PositiveFloat | None = None
    port_shared: bool = False
    """Whether other processes of this server listen on the same port."""


class ServiceSettings(BaseSettings):
    """Everything the service can be told. Each field's description is its help text."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", allow_inf_nan=False
    )

    models: DirectoryPath = Field(description="Folder of bundles, laid out as NAME/VERSION/.")
    grpc_address: Address = Field("127.0.0.1:50051", description="HOST:PORT of the gRPC server; port 0: any free one.")
    metrics_address: Address = Field("127.0.0.1:9464", description="HOST:PORT of /metrics; port 0: any free one.")
    reflection: bool = Field(True, description="Answer gRPC reflection, so that tools can list the methods.")
    drain_seconds: NonNegativeFloat = Field(
        1.0,
        description="Seconds to go on serving after SIGTERM while health already says NOT_SERVING. "
        "With 0, calls that are sent at that very moment may be cancelled.",
    )
    grace_seconds: NonNegativeFloat = Field(
        20.0, description="Most seconds that requests in flight get to finish after the drain."
    )
    max_request_seconds: PositiveFloat = Field(
        60.0, le=3600, description="Longest time for one request, in seconds; a client's shorter deadline wins."
    )
    max_message_bytes: PositiveInt = Field(
        4 * 1024 * 1024, le=16 * 1024 * 1024, description="Largest request message, in bytes."
    )
    max_concurrent_rpcs: PositiveInt = Field(
        2000, description="Most calls at once, health included: a backstop, each model's queue refuses earlier."
    )
    max_connection_age_seconds: PositiveFloat | None = Field(
        None, description="Age at which a connection is asked to reconnect, in seconds. Unset: never."
    )
    engine_layout: Literal["process", "thread", "inline"] = Field(
        "process", description="Where models run: in processes of their own, in a thread, or on the event loop."
    )
    engine_count: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        "auto",
        description="Engine processes of each worker, each with all models; auto: one for each core that may be used, "
        f"shared among the workers, but no more than {MOST_AUTO_ENGINES} each; one where a model runs on a GPU, or "
        "where auto workers are several.",
    )
    engine_niceness: int = Field(
        0,
        ge=0,
        le=19,
        description="By how much engine processes give way to the fronts (man 2 nice): 10 lets a busy machine classify "
        "few large batches of single texts in place of many small ones; streams lose by it.",
    )
    workers: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        1,
        description="Processes that answer calls on the one port, each with engines of its own; "
        "auto: as many as the cores that may be used have room for.",
    )
    device: DeviceChoices = Field(
        ("cpu",),
        description="Where graphs run: cpu, cuda, or auto (cuda if it can be had); NAME=cuda chooses for one model. "
        "May be repeated, or joined by commas.",
    )
    max_batch_size: PositiveInt | None = Field(
        None,
        le=1024,
        description="Most sequences that are classified, labelled, or read before decoding in one run. "
        "Unset: each model learns it when it is loaded, from runs of 1 to 32.",
    )
    max_tokens_per_run: PositiveInt = Field(
        MAX_TOKENS_PER_RUN,
        description="Most tokens, padding included, that one run reads of prompts, sources, and sequences to classify "
        "or label, and that all runs before a decode step read together: no step of their model waits for more. "
        "Longer ones are cut; what cannot be cut runs alone.",
    )
    decode_slots: PositiveInt = Field(
        64, le=1024, description="Sequences that one model decodes side by side in one engine."
    )
    queue_capacity: PositiveInt = Field(
        512, ge=MOST_TEXTS_PER_REQUEST, description="Texts that may wait per model; more are refused at once."
    )
    padding_budget: float = Field(0.25, ge=0, le=1, description="Largest share of a batch that may be padding, 0 to 1.")
    stream_interval_seconds: NonNegativeFloat = Field(
        STREAM_INTERVAL_SECONDS,
        le=1,
        description="Most seconds that a token of a stream waits for the next ones, to share a message with them. It "
        "waits 0.001 for each other stream, be it waiting; alone, or as its first or last token, not at all. "
        "0: never.",
    )
    kept_versions: PositiveInt = Field(
        1, le=16, description="Versions of a model that serve side by side, newest first."
    )
    poll_seconds: PositiveFloat = Field(2.0, description="Seconds between looks at the folder of bundles.")
    repository_control: bool = Field(
        False,
        description="Let clients of the Open Inference Protocol load and unload models. Needs one worker.",
    )
    max_text_characters: PositiveInt = Field(
        MAX_TEXT_CHARACTERS, description="Characters beyond which a text is refused before it is split into tokens."
    )
    max_request_characters: PositiveInt = Field(
        MAX_REQUEST_CHARACTERS,
        description="Characters of a request's texts in sum beyond which it is refused before they are split.",
    )
    state_keys: FilePath | None = Field(
        None,
        description="File of keys that sign state tokens, a line each: an id, and 64 or more hexadecimal digits. "
        "The first signs, all verify. Unset: no state tokens.",
    )
    ephemeral_state_key: bool = Field(
        False, description="Sign state tokens with a key made at the start, which no other server knows."
    )
    state_token_seconds: PositiveInt = Field(
        7 * 24 * 3600, description="How long a state token may be sent back, in seconds."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")

    @model_validator(mode="after")
    def request_holds_a_text(self) -> Self:
        """Refuse limits of which one makes the other unreachable."""
        if self.max_request_characters < self.max_text_characters:
            raise ValueError(
                f"max_request_characters is {self.max_request_characters}, it should be at least max_text_characters, "
                f"which is {self.max_text_characters}"
            )
        return self

    @model_validator(mode="after")
    def state_tokens_have_one_kind_of_key(self) -> Self:
        """Refuse two answers to one question."""
        if self.state_keys is not None and self.ephemeral_state_key:
            raise ValueError("state_keys and ephemeral_state_key are both set, expected one of them")
        return self

    @property
    def devices(self) -> DevicePlan:
        """Which model is meant to run where."""
        return plan_devices(self.device)

    def worker_count(self, cores: int) -> int:
        """How many workers to start where so many cores may be used: a front and its engines take one each."""
        if self.workers != "auto":
            return self.workers
        engines = 1 if self.engine_count == "auto" else self.engine_count
        return max(1, cores // (1 + (engines if self.engine_layout == "process" else 0)))

    def engines_per_worker(self, cores: int) -> int:
        """How many engines each worker has where so many cores may be used."""
        if self.engine_count != "auto":
            return self.engine_count
        workers = self.worker_count(cores)
        one_suffices = self.engine_layout != "process" or (self.workers == "auto" and workers > 1)
        if one_suffices or any(device != "cpu" for _, device in self.devices.choices()):
            return 1
        return min(MOST_AUTO_ENGINES, max(1, cores // workers))

    def engines_with_own_core(self, cores: int) -> int:
        """How many engines of each worker have a core beside their front's; one is taken to have one."""
        return max(1, cores // self.worker_count(cores) - 1)

    @property
    def grpc(self) -> GrpcSettings:
        """The gRPC server's share."""
        return GrpcSettings(
            address=self.grpc_address,
            reflection=self.reflection,
            drain_seconds=self.drain_seconds,
            grace_seconds=self.grace_seconds,
            max_request_seconds=self.max_request_seconds,
            max_message_bytes=self.max_message_bytes,
            max_concurrent_rpcs=self.max_concurrent_rpcs,
            max_connection_age_seconds=self.max_connection_age_seconds,
            port_shared=self.workers != 1,
        )


def parse_settings(arguments: Sequence[str]) -> ServiceSettings:
    """Build the settings from command-line flags (`--queue-capacity 512`), then the environment.

    `--help` prints every flag and leaves.

    Raises:
        SettingsError: a value is missing, unknown or out of range; one line names setting, value and expectation.
    """

    class CommandLine(ServiceSettings):
        model_config = SettingsConfigDict(
            cli_parse_args=list(arguments),
            cli_kebab_case=True,
            cli_implicit_flags=True,
            cli_prog_name="python -m service serve",
            cli_hide_none_type=True,
            cli_avoid_json=True,
            cli_exit_on_error=False,
        )

    try:
        return CommandLine.model_validate({})
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def _explain(error: ValidationError) -> str:
    return "; ".join(_line(fault["loc"], fault["input"], fault["msg"], fault["type"]) for fault in error.errors())


def _line(location: tuple[int | str, ...], value: object, expectation: str, kind: str) -> str:
    """One fault as `queue_capacity is '5': input should be ...`."""
    expectation = expectation.removeprefix("Value error, ").replace("Input should", "it should", 1)
    if not location:  # a flag that the command line's parser refused
        return expectation.removeprefix("error parsing CLI: ")
    setting = str(location[0])
    if kind == "missing":
        return f"{setting} is not set (flag --{setting.replace('_', '-')} or {ENVIRONMENT_PREFIX}{setting.upper()})"
    if kind == "extra_forbidden":
        return f"{setting} is not a setting"
    return f"{setting} is {str(value)!r}: {expectation}"
