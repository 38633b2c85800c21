"""The verbs of the `seqserve` command.   Reads arguments and standard input, calls the client, prints what it says."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from seqserve.client import Client
from seqserve.command_input import (
    given_pairs,
    given_texts,
    grouped,
    table_sources,
    text_sources,
    valid_text,
    valid_texts,
)
from seqserve.command_options import (
    MAX_INT32,
    AlternativeCountOption,
    BannedTokenOption,
    BeamSizeOption,
    CoveragePenaltyOption,
    EchoOption,
    GenerationTemperatureOption,
    HypothesisCountOption,
    LengthPenaltyOption,
    MaxLengthFactorOption,
    MaxTokensOption,
    MinOutputTokenCountOption,
    MinPOption,
    ModelArgument,
    NoRepeatNgramSizeOption,
    OutputOption,
    PartialOption,
    PromptArgument,
    RepetitionPenaltyOption,
    ReplaceUnknownsOption,
    SampleCountOption,
    SamplingTemperatureOption,
    SeedOption,
    StopSequenceOption,
    TargetOption,
    TextsArgument,
    TimeoutOption,
    TokenScoresOption,
    TopKOption,
    TopPOption,
)
from seqserve.command_output import (
    OutputFormat,
    as_json,
    classification_lines,
    labelled_lines,
    models_table,
    translation_lines,
)
from seqserve.connection import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from seqserve.options import GenerateOptions, TranslateOptions

LABEL_SEQUENCES_PER_CALL = 16  # LabelSequence takes 256, but only so many labels of long ones
CLASSIFY_TEXTS_PER_CALL = 256  # the most that ClassifyText takes
TRANSLATE_TEXTS_PER_CALL = 64  # the most that TranslateText takes
PIPE_WIDTH = 200  # columns of a table that goes to no terminal

app = typer.Typer(
    help="Ask a seqserve server: classify, label, generate, translate.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str] | None) -> int:
    """Run the command; return its exit code, 2 with one line on standard error for a wrong usage."""
    try:
        code = app(arguments, prog_name="seqserve", standalone_mode=False)
    except typer.TyperException as error:
        typer.echo(f"seqserve: {' '.join(error.format_message().split())}", err=True)
        return error.exit_code
    return int(code or 0)


@app.command()
def classify(
    model: ModelArgument,
    texts: TextsArgument = None,
    *,
    top_label_count: Annotated[
        int | None, typer.Option(min=1, max=MAX_INT32, help="Labels per text, best first; default all.")
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    output: OutputOption = OutputFormat.TEXT,
    timeout_s: TimeoutOption = DEFAULT_TIMEOUT_S,
) -> None:
    """Give each text its most probable labels."""
    with connect(target, timeout_s) as client:
        for group in grouped(given_texts(texts), CLASSIFY_TEXTS_PER_CALL):
            result = client.classify(model, group, top_label_count=top_label_count)
            for text, classification in zip(group, result.classifications, strict=True):
                if output is OutputFormat.JSON:
                    typer.echo(as_json(classification, source=text, model=str(result.model_version)))
                else:
                    typer.echo(classification_lines(text, classification))


@app.command()
def label(
    model: ModelArgument,
    texts: TextsArgument = None,
    *,
    words: Annotated[
        bool, typer.Option("--words", help="Take the words between blanks as they are; default the server splits.")
    ] = False,
    features: Annotated[
        list[Path] | None,
        typer.Option(help="CSV file of readings instead of texts, a row per step; may be repeated."),
    ] = None,
    key_column: Annotated[
        list[str] | None, typer.Option(help="Column that names a row and is no feature; may be repeated.")
    ] = None,
    top_label_count: Annotated[
        int | None, typer.Option(min=1, max=MAX_INT32, help="Labels per step, best first; default all.")
    ] = None,
    target: TargetOption = DEFAULT_TARGET,
    output: OutputOption = OutputFormat.TEXT,
    timeout_s: TimeoutOption = DEFAULT_TIMEOUT_S,
) -> None:
    """Label each word of each text, or each row of each file."""
    if features and (texts or words):
        raise typer.BadParameter("give texts or files of features, not both", param_hint="--features")
    given = table_sources(features, key_column or ()) if features else text_sources(given_texts(texts), words=words)
    with connect(target, timeout_s) as client:
        for group in grouped(given, LABEL_SEQUENCES_PER_CALL):
            result = client.label(model, [source.sequence for source in group], top_label_count=top_label_count)
            for source, labelled in zip(group, result.sequences, strict=True):
                if output is OutputFormat.JSON:
                    rows = {} if source.row_names is None else {"rows": source.row_names}
                    typer.echo(as_json(labelled, source=source.name, model=str(result.model_version), **rows))
                else:
                    typer.echo(labelled_lines(labelled, source.row_names))


@app.command()
def generate(
    model: ModelArgument,
    prompt: PromptArgument = "",
    *,
    max_output_token_count: MaxTokensOption = None,
    min_output_token_count: MinOutputTokenCountOption = None,
    temperature: GenerationTemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    min_p: MinPOption = None,
    seed: SeedOption = None,
    repetition_penalty: RepetitionPenaltyOption = None,
    no_repeat_ngram_size: NoRepeatNgramSizeOption = None,
    banned_token: BannedTokenOption = None,
    stop_sequence: StopSequenceOption = None,
    sample_count: SampleCountOption = None,
    include_token_scores: TokenScoresOption = False,
    alternative_count: AlternativeCountOption = None,
    echo: EchoOption = False,
    allow_partial: PartialOption = False,
    target: TargetOption = DEFAULT_TARGET,
    output: OutputOption = OutputFormat.TEXT,
    timeout_s: TimeoutOption = DEFAULT_TIMEOUT_S,
) -> None:
    """Continue a prompt, printed as it comes; several texts when all are complete."""
    options = GenerateOptions(
        max_output_token_count=max_output_token_count, min_output_token_count=min_output_token_count,
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed,
        repetition_penalty=repetition_penalty, no_repeat_ngram_size=no_repeat_ngram_size,
        banned_tokens=valid_texts(banned_token), stop_sequences=valid_texts(stop_sequence),
        sample_count=sample_count, include_token_scores=include_token_scores,
        alternative_count=alternative_count, echo=echo, allow_partial=allow_partial,
    )  # fmt: skip
    prompt = valid_text(prompt)
    with connect(target, timeout_s) as client:
        if sample_count is not None and output is OutputFormat.TEXT:
            for number, text in enumerate(client.generate_texts(model, prompt, **options), start=1):
                typer.echo(f"--- {number}\n{text.text}")
            return
        with client.generate(model, prompt, **options) as stream:
            for chunk in stream:
                if output is OutputFormat.JSON:
                    typer.echo(as_json(chunk))
                else:
                    typer.echo(chunk.text, nl=chunk.finish_reason is not None)


@app.command()
def translate(
    model: ModelArgument,
    texts: TextsArgument = None,
    *,
    beam_size: BeamSizeOption = None,
    hypothesis_count: HypothesisCountOption = None,
    length_penalty: LengthPenaltyOption = None,
    coverage_penalty: CoveragePenaltyOption = None,
    max_length_factor: MaxLengthFactorOption = None,
    max_output_token_count: MaxTokensOption = None,
    replace_unknowns: ReplaceUnknownsOption = False,
    include_token_scores: TokenScoresOption = False,
    allow_partial: PartialOption = False,
    temperature: SamplingTemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    min_p: MinPOption = None,
    seed: SeedOption = None,
    target: TargetOption = DEFAULT_TARGET,
    output: OutputOption = OutputFormat.TEXT,
    timeout_s: TimeoutOption = DEFAULT_TIMEOUT_S,
) -> None:
    """Translate each text, one line for one; several translations of a text are lines of score, tabulator and text."""
    options = TranslateOptions(
        beam_size=beam_size, hypothesis_count=hypothesis_count, length_penalty=length_penalty,
        coverage_penalty=coverage_penalty, max_length_factor=max_length_factor,
        max_output_token_count=max_output_token_count, replace_unknowns=replace_unknowns,
        include_token_scores=include_token_scores, allow_partial=allow_partial, temperature=temperature, top_k=top_k,
        top_p=top_p, min_p=min_p, seed=seed,
    )  # fmt: skip
    with connect(target, timeout_s) as client:
        for group in grouped(given_texts(texts), TRANSLATE_TEXTS_PER_CALL):
            result = client.translate(model, group, **options)
            for text, translation in zip(group, result.translations, strict=True):
                if output is OutputFormat.JSON:
                    typer.echo(as_json(translation, source=text, model=str(result.model_version)))
                else:
                    typer.echo(translation_lines(translation, scored=hypothesis_count is not None))


@app.command()
def score(
    model: ModelArgument,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE TARGET",
            help="Texts, each with its translation after it. Without any, tabbed lines of standard input.",
        ),
    ] = None,
    *,
    target: TargetOption = DEFAULT_TARGET,
    output: OutputOption = OutputFormat.TEXT,
    timeout_s: TimeoutOption = DEFAULT_TIMEOUT_S,
) -> None:
    """Score given translations: a line of log-probability, text and translation for each."""
    with connect(target, timeout_s) as client:
        for group in grouped(given_pairs(pairs), TRANSLATE_TEXTS_PER_CALL):
            result = client.score_translation(model, group)
            for (text, translation), found in zip(group, result.scores, strict=True):
                if output is OutputFormat.JSON:
                    typer.echo(as_json(found, source=text, target=translation, model=str(result.model_version)))
                else:
                    typer.echo(f"{found.log_probability:.4f}\t{text}\t{translation}")


@app.command()
def models(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Only this one, name or name@version.")] = None,
    *,
    target: TargetOption = DEFAULT_TARGET,
    output: OutputOption = OutputFormat.TEXT,
    timeout_s: TimeoutOption = DEFAULT_TIMEOUT_S,
) -> None:
    """List the models that the server knows."""
    with connect(target, timeout_s) as client:
        found = client.list_models() if model is None else (client.get_model(model),)
    if output is OutputFormat.JSON:
        for each in found:
            typer.echo(as_json(each))
    else:
        console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
        console.print(models_table(found))


@app.command()
def health(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Part of the server; default the whole.")] = "",
    *,
    target: TargetOption = DEFAULT_TARGET,
    output: OutputOption = OutputFormat.TEXT,
    timeout_s: TimeoutOption = DEFAULT_TIMEOUT_S,
) -> None:
    """Tell whether the server is serving; exit 1 if it is not."""
    with connect(target, timeout_s) as client:
        serving = client.health(service)
    if output is OutputFormat.JSON:
        typer.echo(as_json({"service": service, "serving": serving}))
    else:
        typer.echo("serving" if serving else "not serving")
    if not serving:
        raise typer.Exit(1)


def connect(target: str, timeout_s: float) -> Client:
    """Client for the options that every verb has."""
    try:
        return Client(target, timeout_s=timeout_s)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout-s") from error
