"""Arguments and options of the `seqserve` command: what each is called, takes and means.   Calls nothing."""

from typing import Annotated

import typer

from seqserve.command_output import OutputFormat

MAX_BEAM_SIZE = 32
MAX_INT32 = 2**31 - 1
MAX_INT64 = 2**63 - 1

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="Model, as name (newest version) or name@version.")]
TextsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="TEXT", help="Texts. Without any, the lines of standard input; blank ones are left out."),
]
TargetOption = Annotated[str, typer.Option("--target", envvar="SEQSERVE_TARGET", help="Server, as host:port.")]
OutputOption = Annotated[OutputFormat, typer.Option("--output", help="For people, or one JSON object per line.")]
TimeoutOption = Annotated[float, typer.Option("--timeout-s", help="Seconds until a call fails.")]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-output-token-count", min=1, max=MAX_INT32, help="Most tokens to produce; default the model's."),
]
TopKOption = Annotated[
    int | None, typer.Option(min=1, max=MAX_INT32, help="Sample among this many most probable tokens; default all.")
]
TopPOption = Annotated[
    float | None, typer.Option(help="Sample among the tokens that reach this mass, above 0 to 1; default 1.")
]
MinPOption = Annotated[
    float | None, typer.Option(help="Sample among tokens this share as probable as the best, 0 to 1; default 0.")
]
SeedOption = Annotated[
    int | None, typer.Option(min=0, max=MAX_INT64, help="The same seed gives the same text; default drawn.")
]
TokenScoresOption = Annotated[
    bool, typer.Option("--include-token-scores", help="With --output json: the log-probability of each token.")
]
PartialOption = Annotated[
    bool, typer.Option("--allow-partial", help="Take what there is when the time is up, instead of failing.")
]
PromptArgument = Annotated[str, typer.Argument(metavar="PROMPT", help="Text to continue.")]
MinOutputTokenCountOption = Annotated[
    int | None, typer.Option(min=0, max=MAX_INT32, help="Tokens to produce before the text may end; default 0.")
]
GenerationTemperatureOption = Annotated[
    float | None, typer.Option(help="0 to 100; 0 takes the most probable token always; default 1.")
]
RepetitionPenaltyOption = Annotated[
    float | None, typer.Option(help="Makes what came before less probable, above 0 to 10; default 1.")
]
NoRepeatNgramSizeOption = Annotated[
    int | None, typer.Option(min=1, max=32, help="So many tokens in a row never come again; default no rule.")
]
BannedTokenOption = Annotated[list[str] | None, typer.Option(help="Token that is never produced; may be repeated.")]
StopSequenceOption = Annotated[
    list[str] | None, typer.Option(help="String that ends the text where it begins; may be repeated.")
]
SampleCountOption = Annotated[
    int | None, typer.Option(min=1, max=16, help="Texts to generate, each under a line with its number; default 1.")
]
AlternativeCountOption = Annotated[
    int | None, typer.Option(min=1, max=16, help="Most probable tokens beside each, with --include-token-scores.")
]
EchoOption = Annotated[bool, typer.Option("--echo", help="Begin with the prompt.")]
BeamSizeOption = Annotated[
    int | None, typer.Option(min=1, max=MAX_BEAM_SIZE, help="Hypotheses kept by beam search; default 1, greedy.")
]
HypothesisCountOption = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_BEAM_SIZE, help="Translations per text, best first, with their scores; default 1."),
]
LengthPenaltyOption = Annotated[float | None, typer.Option(help="0 to 10; 0 favours short translations; default 0.6.")]
CoveragePenaltyOption = Annotated[
    float | None, typer.Option(help="0 to 10; more lowers what leaves out parts of the source; default 0.")
]
MaxLengthFactorOption = Annotated[
    float | None, typer.Option(help="Most tokens per token of the source, above 0 to 100; default no limit.")
]
ReplaceUnknownsOption = Annotated[
    bool, typer.Option("--replace-unknowns", help="Copy the source word where the unknown token would stand.")
]
SamplingTemperatureOption = Annotated[
    float | None, typer.Option(help="Sample, above 0 to 100, instead of searching; default no sampling.")
]
