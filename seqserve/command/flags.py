"""Arguments and options of the `seqserve` command: what each is called, takes and means.   Calls nothing."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from seqserve.client import Client
from seqserve.command.files.states import read_state
from seqserve.command.inputs import valid_text
from seqserve.command.outputs import OutputFormat
from seqserve.connection import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from seqserve.credentials import Tls
from seqserve.errors import SeqserveError
from seqserve.options import GenerateOptions, LabelOptions, TranslateManyOptions, Truncation

MAX_BEAM_SIZE = 32
MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1
COMPLETION_SECONDS = 1.0


def model_names(context: typer.Context, incomplete: str) -> list[str]:
    """Names that begin so, for the shell to offer: those of the models that the server has; none if it is not there."""
    try:
        with Client(context.params.get("target") or DEFAULT_TARGET, timeout_s=COMPLETION_SECONDS) as client:
            names = {model.name for model in client.list_models()}
    except (SeqserveError, ValueError):
        return []
    return sorted(name for name in names if name.startswith(incomplete))


ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="Model, as name (newest version) or name@version.", autocompletion=model_names
    ),
]
TextsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT", help="Texts. Without any, the lines of --input, or of standard input."),
]
InputOption = Annotated[
    Path | None, typer.Option("--input", help="File of which each line is an input; - is standard input.")
]
OutputOption = Annotated[
    OutputFormat, typer.Option("--output", help="Text as it comes, one JSON object per line, or a table at the end.")
]
StateOutOption = Annotated[
    Path | None,
    typer.Option(help="Save the state, from which --state-in goes on; of further texts or sequences as FILE-2."),
]


class Keep(Enum):
    """What is read of a text that is too long."""

    BEGINNING = "beginning"
    END = "end"


def truncation_of(keep: Keep | None) -> Truncation | None:
    """What the client takes."""
    return None if keep is None else Truncation[f"KEEP_{keep.name}"]


KeepOption = Annotated[
    Keep | None, typer.Option(help="Part that is read of what is longer than the model takes; default it is refused.")
]
TopLabelCountOption = Annotated[int | None, typer.Option(min=1, max=MAX_INT32, help="Labels, best first; default all.")]


@dataclass(frozen=True)
class Connection:
    """How every verb reaches the server."""

    target: Annotated[str, typer.Option(envvar="SEQSERVE_TARGET", help="Server, as host:port.")] = DEFAULT_TARGET
    timeout_s: Annotated[float, typer.Option(help="Seconds until a call fails.")] = DEFAULT_TIMEOUT_S
    tls: Annotated[bool, typer.Option("--tls", envvar="SEQSERVE_TLS", help="Encrypt the connection.")] = False
    tls_ca: Annotated[
        Path | None, typer.Option(envvar="SEQSERVE_TLS_CA", help="PEM file of who vouches for the server; with TLS.")
    ] = None
    tls_certificate: Annotated[
        Path | None, typer.Option(envvar="SEQSERVE_TLS_CERTIFICATE", help="PEM file of your certificate; with TLS.")
    ] = None
    tls_key: Annotated[
        Path | None, typer.Option(envvar="SEQSERVE_TLS_KEY", help="PEM file of the key of --tls-certificate.")
    ] = None
    token: Annotated[
        str | None,
        typer.Option(envvar="SEQSERVE_TOKEN", help="Bearer token, with TLS; as an argument others here can see it."),
    ] = None

    def open(self) -> Client:
        """A client.

        Raises:
            typer.BadParameter: an option cannot be used.
        """
        try:
            return Client(self.target, timeout_s=self.timeout_s, tls=self._tls(), token=self.token)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    def _tls(self) -> Tls | None:
        if not (self.tls or self.tls_ca or self.tls_certificate or self.tls_key):
            return None
        return Tls(self.tls_ca, self.tls_certificate, self.tls_key)


@dataclass(frozen=True)
class Sampling:
    """Options that generation and translation share."""

    max_output_token_count: Annotated[
        int | None, typer.Option(min=1, max=MAX_INT32, help="Most tokens to produce; default the model's.")
    ] = None
    top_k: Annotated[
        int | None, typer.Option(min=1, max=MAX_INT32, help="Sample among this many most probable tokens; default all.")
    ] = None
    top_p: Annotated[
        float | None, typer.Option(help="Sample among the tokens that reach this mass, above 0 to 1; default 1.")
    ] = None
    min_p: Annotated[
        float | None, typer.Option(help="Sample among tokens this share as probable as the best, 0 to 1; default 0.")
    ] = None
    seed: Annotated[
        int | None, typer.Option(min=0, max=MAX_INT64, help="The same seed gives the same text; default drawn.")
    ] = None
    include_token_scores: Annotated[
        bool, typer.Option("--include-token-scores", help="With --output json: the log-probability of each token.")
    ] = False
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Take what there is when the time is up, instead of failing.")
    ] = False


@dataclass(frozen=True)
class Labelling:
    """Options of `label`."""

    top_label_count: TopLabelCountOption = None
    keep: KeepOption = None
    state_in: Annotated[
        list[Path] | None,
        typer.Option(help="State from which a sequence goes on; may be repeated, one file for each sequence."),
    ] = None
    state_out: StateOutOption = None

    @property
    def with_state(self) -> bool:
        """Whether state is to be read or saved."""
        return bool(self.state_in or self.state_out)

    def options(self) -> LabelOptions:
        """What the client takes."""
        state_tokens = [read_state(path) for path in self.state_in or ()] or None
        return LabelOptions(
            include_state_token=self.state_out is not None,
            state_tokens=state_tokens,
            truncation=truncation_of(self.keep),
        )


@dataclass(frozen=True)
class Generating(Sampling):
    """Options of `generate`."""

    temperature: Annotated[
        float | None, typer.Option(help="0 to 100; 0 takes the most probable token always; default 1.")
    ] = None
    min_output_token_count: Annotated[
        int | None, typer.Option(min=0, max=MAX_INT32, help="Tokens to produce before the text may end; default 0.")
    ] = None
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Makes what came before less probable, above 0 to 10; default 1.")
    ] = None
    no_repeat_ngram_size: Annotated[
        int | None, typer.Option(min=1, max=32, help="So many tokens in a row never come again; default no rule.")
    ] = None
    banned_token: Annotated[list[str] | None, typer.Option(help="Token that is never produced; may be repeated.")] = (
        None
    )
    stop_sequence: Annotated[
        list[str] | None, typer.Option(help="String that ends the text where it begins; may be repeated.")
    ] = None
    sample_count: Annotated[
        int | None, typer.Option(min=1, max=16, help="Texts to generate, each under a line with its number; default 1.")
    ] = None
    alternative_count: Annotated[
        int | None, typer.Option(min=1, max=16, help="Most probable tokens beside each, with --include-token-scores.")
    ] = None
    echo: Annotated[bool, typer.Option("--echo", help="Begin with the prompt.")] = False
    state_in: Annotated[
        Path | None, typer.Option(help="State from which the text goes on; the prompt is read after it.")
    ] = None
    state_out: StateOutOption = None

    def options(self) -> GenerateOptions:
        """What the client takes."""
        return GenerateOptions(
            max_output_token_count=self.max_output_token_count, min_output_token_count=self.min_output_token_count,
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, min_p=self.min_p, seed=self.seed,
            repetition_penalty=self.repetition_penalty, no_repeat_ngram_size=self.no_repeat_ngram_size,
            banned_tokens=[valid_text(token) for token in self.banned_token or ()],
            stop_sequences=[valid_text(stop) for stop in self.stop_sequence or ()],
            sample_count=self.sample_count, include_token_scores=self.include_token_scores,
            alternative_count=self.alternative_count, echo=self.echo, allow_partial=self.allow_partial,
            state_token=read_state(self.state_in) if self.state_in else None,
            include_state_token=self.state_out is not None,
        )  # fmt: skip


@dataclass(frozen=True)
class Translating(Sampling):
    """Options of `translate`."""

    temperature: Annotated[
        float | None, typer.Option(help="Sample, above 0 to 100, instead of searching; default no sampling.")
    ] = None
    beam_size: Annotated[
        int | None, typer.Option(min=1, max=MAX_BEAM_SIZE, help="Hypotheses kept by beam search; default 1, greedy.")
    ] = None
    hypothesis_count: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_BEAM_SIZE, help="Translations per text, best first, with their scores; default 1."),
    ] = None
    length_penalty: Annotated[
        float | None, typer.Option(help="0 to 10; 0 favours short translations; default 0.6.")
    ] = None
    coverage_penalty: Annotated[
        float | None, typer.Option(help="0 to 10; more lowers what leaves out parts of the source; default 0.")
    ] = None
    max_length_factor: Annotated[
        float | None, typer.Option(help="Most tokens per token of the source, above 0 to 100; default no limit.")
    ] = None
    replace_unknowns: Annotated[
        bool, typer.Option("--replace-unknowns", help="Copy the source word where the unknown token would stand.")
    ] = False
    keep: KeepOption = None

    def options(self, *, include_attention: bool) -> TranslateManyOptions:
        """What the client takes."""
        return TranslateManyOptions(
            truncation=truncation_of(self.keep),
            max_output_token_count=self.max_output_token_count, max_length_factor=self.max_length_factor,
            beam_size=self.beam_size, hypothesis_count=self.hypothesis_count, length_penalty=self.length_penalty,
            coverage_penalty=self.coverage_penalty, replace_unknowns=self.replace_unknowns,
            include_token_scores=self.include_token_scores, allow_partial=self.allow_partial,
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p, min_p=self.min_p, seed=self.seed,
            include_attention=include_attention,
        )  # fmt: skip
