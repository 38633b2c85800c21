"""Asks a running server one question per model and prints the answers: what deploy/image-test.sh believes the image by.

python deploy/ask_every_model.py HOST:PORT METRICS_URL
"""

import sys
import urllib.request

from seqserve import Client, Model, ModelState, Task

TEXT = "The black dog jumped over the cat"


def ask(client: Client, model: Model) -> str:
    """The model's answer, in one line."""
    if model.task is Task.CLASSIFICATION:
        best = client.classify(model.name, TEXT).classifications[0].best
        return f"{best.label} ({best.probability:.2f})"
    if model.task is Task.LABELLING:
        sequence = client.label(model.name, [imputed_row(model)] if model.features else TEXT).sequences[0]
        return " ".join(step.best.label for step in sequence.steps)
    if model.task is Task.TRANSLATION:
        return client.translate(model.name, TEXT).translations[0].text
    return client.generate_text(model.name, max_output_token_count=20, seed=1).text


def imputed_row(model: Model) -> list[dict[str, float]]:
    """One step at which every reading is its imputed value, or 0."""
    return [{feature.name: feature.imputed_value or 0.0 for feature in model.features}]


def answered_calls(metrics_url: str) -> float:
    """Calls that the server's own metrics count as answered."""
    with urllib.request.urlopen(metrics_url, timeout=10) as page:  # noqa: S310 - the address is the caller's
        lines = page.read().decode().splitlines()
    counts = (line for line in lines if line.startswith("grpc_server_handled_total{") and 'grpc_code="OK"' in line)
    return sum(float(line.rpartition(" ")[2]) for line in counts)


def main() -> None:
    """Ask; exit with 1 if no model serves or the metrics did not count the answers."""
    target, metrics_url = sys.argv[1:]
    with Client(target) as client:
        models = [model for model in client.list_models() if model.state is ModelState.ACTIVE]
        for model in models:
            sys.stdout.write(f"  {model.name}: {ask(client, model)!r}\n")
    if not models or answered_calls(metrics_url) < len(models):
        sys.exit("no model answered, or /metrics does not show it")


if __name__ == "__main__":
    main()
