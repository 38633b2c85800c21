"""Train a small model per task, serve them, ask them, and show what they looked at.   Uses only what a user has."""

import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demo.labelling import forecast, resolve_clues, tag
from demo.published import ask_published
from demo.server import ServerProcess, start_server
from seqserve import Client
from training.reporting.heat_maps import draw_attention

ROOT = Path(__file__).parent.parent
BUILD = ROOT / ".build"
MODELS, RUNS, PUBLISHED = BUILD / "models", BUILD / "runs", ROOT / "bundles"
PICTURES, SERVED = BUILD / "demo", BUILD / "demo" / "models"
LECTURE_SENTENCE = "The black dog jumped over the cat"
SHOWN_METRICS = (
    "grpc_server_handled_total",
    "seqserve_generated_tokens_total",
    "seqserve_batch_size_sum",
    "seqserve_batch_size_count",
    "seqserve_time_to_first_token_seconds_sum",
    "seqserve_inference_seconds_sum",
)

console = Console(highlight=False)


def train() -> None:
    """Train what is missing, by the command a user would type."""
    console.rule("1. train and export")
    recipes = sorted(str(path) for path in (ROOT / "training" / "recipes").glob("sample-*.toml"))
    command = [sys.executable, "-m", "training", "train", "--runs", str(RUNS), *recipes]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603


def start() -> ServerProcess:
    """Start the service as a process of its own."""
    console.rule("2. serve")
    server = start_server(gather())
    console.print(f"the service is process {server.process.pid}: gRPC on {server.target}, {server.metrics_url}")
    return server


def gather() -> Path:
    """Put the trained and the published models into one repository: copies, for a bundle may not be a link."""
    shutil.rmtree(SERVED, ignore_errors=True)
    for repository in (MODELS, PUBLISHED):
        for model in repository.glob("*/"):
            shutil.copytree(model, SERVED / model.name)
    return SERVED


def ask(client: Client) -> None:
    """Send real requests and print the answers with what was asked."""
    console.rule("3. ask")
    models = Table("model", "task", "tokens at most", "parameters in", title="ListModels")
    for model in client.list_models():
        models.add_row(f"{model.name}@{model.version}", model.task.value, str(model.max_token_count), model.precision)
    console.print(models)
    classify(client)
    tag(client, console)
    forecast(client, console)
    resolve_clues(client, console)
    generate(client)
    translate(client)
    ask_published(client, console, PUBLISHED)


def classify(client: Client) -> None:
    """Many to one."""
    reviews = [
        "the acting was wonderful and the plot was gripping",
        "the music was not good",
        "the plot was clever but the ending was terrible",
        "it was never boring",
    ]
    table = Table("review", "sentiment", "probability", title="ClassifyText (sample-sentiment)")
    for review, found in zip(reviews, client.classify("sample-sentiment", reviews).classifications, strict=True):
        best = found.labels[0]
        table.add_row(review, best.label, f"{best.probability:.3f}")
    console.print(table)


def generate(client: Client) -> None:
    """One to many: a key and a starting note become a melody."""
    prompt = "M:4/4\nL:1/8\nK:G\nG"
    console.print("GenerateText (sample-melody), streamed; the prompt is a metre, a key and a starting note:")
    console.print(prompt, style="bold", end="")
    with client.generate("sample-melody", prompt, seed=7, temperature=0.7) as stream:
        for chunk in stream:
            console.print(chunk.text, end="", markup=False)
    console.print("\n")


def translate(client: Client) -> None:
    """Many to many; the attention of the first sentence becomes a picture."""
    sentences = [
        LECTURE_SENTENCE,
        "The white cats slept under the table",
        "The old woman looked for the red house",
    ]
    result = client.translate("sample-en-it", sentences, include_attention=True)
    table = Table("English", "Italian", title="TranslateText (sample-en-it)")
    for sentence, translation in zip(sentences, result.translations, strict=True):
        table.add_row(sentence, translation.text)
    console.print(table)
    attention = result.translations[0].attention
    if attention is not None:
        path = PICTURES / "attention.png"
        path.write_bytes(draw_attention(attention.weights, attention.source_tokens, attention.target_tokens))
        console.print(f"attention over the source, as the service returned it: {path.relative_to(ROOT)}")


def draw_gates() -> None:
    """The gates of the sentiment model over a sentence, from the equations in training/models/layers/cells.py."""
    path = PICTURES / "gates.png"
    command = [sys.executable, "-m", "training", "gates", "training/recipes/sample-sentiment.toml"]
    command += ["the plot was clever but the ending was terrible", "--output", str(path), "--runs", str(RUNS)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    console.print(f"what the sentiment model forgot, took in and let out: {path.relative_to(ROOT)}")
    console.print("each run's curves, mistakes, attention and memory: .build/runs/*/report.html")


def show_metrics(server: ServerProcess) -> None:
    """A few of the live series."""
    console.rule("4. watch")
    with urllib.request.urlopen(server.metrics_url, timeout=5) as page:  # noqa: S310 - our own server
        lines = page.read().decode().splitlines()
    for line in lines:
        if line.startswith(SHOWN_METRICS) and not line.endswith(" 0.0"):
            console.print(line, markup=False, soft_wrap=True)


def main() -> None:
    """Run the demo."""
    begun = time.monotonic()
    PICTURES.mkdir(parents=True, exist_ok=True)
    train()
    server = start()
    try:
        with Client(server.target) as client:
            ask(client)
        show_metrics(server)
        console.rule("5. look, and leave")
        draw_gates()
    finally:
        code = server.stop()
    console.print(f"the service drained and ended with code {code}; {time.monotonic() - begun:.0f} s in all")
    sys.exit(code)


if __name__ == "__main__":
    main()
