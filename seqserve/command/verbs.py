"""The verbs of the `seqserve` command.   Reads arguments and standard input, calls the client, prints what it says."""

import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from itertools import count, repeat
from pathlib import Path
from typing import Annotated, cast

import typer

from seqserve import convert
from seqserve.client import Client
from seqserve.command import views
from seqserve.command.files.saving import saving_attention, saving_melodies, saving_states
from seqserve.command.flags import (
    Connection,
    Generating,
    InputOption,
    KeepOption,
    Labelling,
    ModelArgument,
    OutputOption,
    TextsArgument,
    TopLabelCountOption,
    Translating,
    truncation_of,
)
from seqserve.command.flattened import flattened
from seqserve.command.inputs import (
    Inputs,
    Origin,
    Source,
    given_pairs,
    given_tables,
    given_texts,
    given_words,
    line_count,
    valid_text,
)
from seqserve.command.outputs import OutputFormat, Screen, View, as_json
from seqserve.command.progress import is_shown
from seqserve.command.runs import done, show_run
from seqserve.many.answers import PAUSE, Answer
from seqserve.results import GeneratedChunk, GeneratedText, LabelledSequence
from seqserve.streams import GenerationStream

app = typer.Typer(
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run(arguments: Sequence[str] | None) -> int:
    """Run the command, which without arguments shows its help.

    Returns its exit code, 2 with one line on standard error for a wrong usage.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = app(given or ["--help"], prog_name="seqserve", standalone_mode=False)
    except typer.TyperException as error:
        typer.echo(f"seqserve: {' '.join(error.format_message().split())}", err=True)
        return error.exit_code
    return int(code or 0)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"seqserve {version('seqserve')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Ask a seqserve server: classify, label, generate, translate."""


@app.command()
@flattened
def classify(
    model: ModelArgument,
    texts: TextsArgument = None,
    *,
    input_file: InputOption = None,
    top_label_count: TopLabelCountOption = None,
    keep: KeepOption = None,
    output: OutputOption = OutputFormat.TEXT,
    connection: Connection,
) -> None:
    """Give each text its most probable labels."""
    inputs = Inputs(given_texts(texts, input_file))
    with connection.open() as client:
        answers = client.classify_many(model, inputs, top_label_count=top_label_count, truncation=truncation_of(keep))
        show_run(
            answers, inputs, views.classifications(), output, named=as_source, total=known_total(texts, input_file)
        )


@app.command()
@flattened
def label(
    model: ModelArgument,
    texts: TextsArgument = None,
    *,
    input_file: InputOption = None,
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
    labelling: Labelling,
    output: OutputOption = OutputFormat.TEXT,
    connection: Connection,
) -> None:
    """Label each word of each text, or each row of each file."""
    if features and (texts or words or input_file):
        raise typer.BadParameter("give texts or files of features, not both", param_hint="--features")
    row_names: dict[str, list[str]] = {}
    source: Source[convert.InputSequence]
    if features:
        source, row_names = given_tables(features, key_column or ())
    else:
        source = given_words(given_texts(texts, input_file)) if words else given_texts(texts, input_file)
    inputs: Inputs[convert.InputSequence] = Inputs(source)
    then = [saving_states(labelling.state_out)] if labelling.state_out else []

    def named(sequence: convert.InputSequence, origin: Origin) -> dict[str, object]:
        if features:
            return {"source": origin.name, "rows": row_names[origin.name]}
        return {"source": sequence if isinstance(sequence, str) else " ".join(cast("Sequence[str]", sequence))}

    with connection.open() as client:
        answers = labelled(client, model, inputs, labelling)
        total = None if features else known_total(texts, input_file)
        show_run(answers, inputs, views.labels(row_names), output, named=named, total=total, then=then)


def labelled(
    client: Client, model: str, inputs: Inputs[convert.InputSequence], labelling: Labelling
) -> Iterator[Answer[convert.InputSequence, LabelledSequence]]:
    """The answers to sequences: to any number of them, or with state to those of one request.

    Raises:
        typer.BadParameter: there are states, but not one for each sequence.
    """
    if not labelling.with_state:
        truncation = truncation_of(labelling.keep)
        return client.label_many(model, inputs, top_label_count=labelling.top_label_count, truncation=truncation)
    options = labelling.options()
    given = [sequence for sequence in inputs if sequence is not PAUSE]
    try:
        result = client.label(model, given, top_label_count=labelling.top_label_count, **options)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--state-in") from error
    return map(Answer, count(), given, result.sequences, repeat(result.model_version))


@app.command()
@flattened
def generate(
    model: ModelArgument,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="Text to continue.")] = "",
    *,
    input_file: InputOption = None,
    generating: Generating,
    midi: Annotated[
        Path | None,
        typer.Option(help="Save the tune, which is ABC notation, as a MIDI file; further ones as FILE-2.mid."),
    ] = None,
    output: OutputOption = OutputFormat.TEXT,
    connection: Connection,
) -> None:
    """Continue a prompt, printed as it comes; several texts, and those of many prompts, when they are complete."""
    if prompt and input_file:
        raise typer.BadParameter("give a prompt or a file of them, not both", param_hint="--input")
    prompt, options = valid_text(prompt), generating.options()
    view = views.generated(numbered=generating.sample_count is not None)
    then: list[Callable[[str, tuple[GeneratedText, ...]], None]] = []
    if midi:
        then.append(saving_melodies(midi, echo=generating.echo))
    if generating.state_out:
        then.append(saving_states(generating.state_out))
    with connection.open() as client:
        if input_file is None:
            texts = show_stream(client.generate(model, prompt, **options), prompt, view, output)
            if not done("prompt", then, prompt, texts):
                raise typer.Exit(1)
            return
        inputs = Inputs(given_texts(None, input_file))
        answers = client.generate_many(model, inputs, **options)
        show_run(answers, inputs, view, output, named=as_source, total=known_total(None, input_file), then=then)


def show_stream(
    stream: GenerationStream, prompt: str, view: View[tuple[GeneratedText, ...]], output: OutputFormat
) -> tuple[GeneratedText, ...]:
    """Show a generation: as it comes where the format allows it, else when it is complete; and return it."""
    chunks: list[GeneratedChunk] = []
    as_it_comes = output is OutputFormat.TEXT and not view.numbered
    with stream:
        for chunk in stream:
            chunks.append(chunk)
            if output is OutputFormat.JSON:
                typer.echo(as_json(chunk))
            elif as_it_comes:
                typer.echo(chunk.text, nl=chunk.finish_reason is not None)
    texts = convert.generated_texts(chunks)
    if output is not OutputFormat.JSON and not as_it_comes:
        screen = Screen(output, view.columns)
        screen.show(view, prompt, texts)
        screen.close()
    return texts


@app.command()
@flattened
def translate(
    model: ModelArgument,
    texts: TextsArgument = None,
    *,
    input_file: InputOption = None,
    translating: Translating,
    alignment: Annotated[
        Path | None,
        typer.Option(help="Draw the attention as FILE.png; of further translations as FILE-2.png."),
    ] = None,
    output: OutputOption = OutputFormat.TEXT,
    connection: Connection,
) -> None:
    """Translate each text, one line for one; several translations of a text are lines of score, tabulator and text."""
    inputs = Inputs(given_texts(texts, input_file))
    then = [saving_attention(alignment)] if alignment else []
    with connection.open() as client:
        options = translating.options(include_attention=alignment is not None)
        answers = client.translate_many(model, inputs, **options)
        view = views.translations(scored=translating.hypothesis_count is not None)
        total = known_total(texts, input_file)
        show_run(answers, inputs, view, output, named=as_source, total=total, then=then)


@app.command()
@flattened
def score(
    model: ModelArgument,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE TARGET",
            help="Texts, each with its translation after it. Without any, tabbed lines of --input or standard input.",
        ),
    ] = None,
    *,
    input_file: InputOption = None,
    output: OutputOption = OutputFormat.TEXT,
    connection: Connection,
) -> None:
    """Score given translations: a line of log-probability, text and translation for each."""
    inputs = Inputs(given_pairs(pairs, input_file))
    with connection.open() as client:
        answers = client.score_translation_many(model, inputs)
        total = known_total(pairs, input_file)
        show_run(
            answers, inputs, views.scores(), output, total=total,
            named=lambda pair, _: {"source": pair[0], "target": pair[1]},
        )  # fmt: skip


@app.command()
@flattened
def models(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Only this one, name or name@version.")] = None,
    *,
    output: OutputOption = OutputFormat.TABLE,
    connection: Connection,
) -> None:
    """List the models that the server knows."""
    with connection.open() as client:
        found = client.list_models() if model is None else (client.get_model(model),)
    view = views.models()
    screen = Screen(output, view.columns)
    for each in found:
        screen.show(view, "", each)
    screen.close()


@app.command()
@flattened
def health(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Part of the server; default the whole.")] = "",
    *,
    output: OutputOption = OutputFormat.TEXT,
    connection: Connection,
) -> None:
    """Tell whether the server is serving; exit 1 if it is not."""
    with connection.open() as client:
        serving = client.health(service)
    if output is OutputFormat.JSON:
        typer.echo(as_json({"service": service, "serving": serving}))
    else:
        typer.echo("serving" if serving else "not serving")
    if not serving:
        raise typer.Exit(1)


def as_source(text: str, _: Origin) -> dict[str, object]:
    """How JSON calls a text that was given."""
    return {"source": text}


def known_total(arguments: Sequence[str] | None, file: Path | None) -> int | None:
    """How many inputs a run has, if somebody looks at the progress and it can be known."""
    if arguments:
        return len(arguments)
    return line_count(file) if is_shown() else None
