"""MLflow: a run that a person asked for, in a real store; and one clear line where it cannot be had.

The tests of a real store run where `mlflow-skinny`, `sqlalchemy` and `alembic` are installed.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from training.errors import TrackingError
from training.run.checkpoint import Epoch
from training.scoring.scores import Score
from training.settings.recipe import Recipe
from training.tracking.mlflow import EXPERIMENT, log_scores, open_mlflow_run

SHA256 = "ab" * 32
pytestmark = pytest.mark.filterwarnings("default")  # those of MLflow and its database are none of ours
MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    for package in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(package)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield f"sqlite:///{tmp_path / 'mlflow.db'}"


def runs_in(uri: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return list(client.search_runs([experiment.experiment_id]))


def history(uri: str, run: Any, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in found]


def train_in(uri: str, recipe: Recipe, *epochs: int) -> None:
    with open_mlflow_run(uri, recipe, run_sha256=SHA256, metric="span F1") as run:
        for number in epochs:
            run.on_update(number * 10, 0.5, learning_rate=0.01, gradient_norm=2.0)
            run.on_epoch(Epoch(number, 1 / number, 90.0 + number, 1.5))


def test_a_run_has_the_recipe_and_the_numbers_of_its_epochs(make_recipe: MakeRecipe, store: str) -> None:
    train_in(store, make_recipe("classification"), 1, 2)
    (run,) = runs_in(store)
    assert run.info.run_name == f"tiny-classification-1-{SHA256[:8]}"
    assert run.info.status == "FINISHED"
    assert run.data.params["model.cell"] == "lstm"
    assert run.data.params["training.epochs"] == "2"
    assert history(store, run, "loss") == [(1, 1.0), (2, 0.5)]
    assert history(store, run, "validation_span_F1") == [(1, 91.0), (2, 92.0)]
    assert history(store, run, "gradient_norm") == [(1, 2.0), (2, 2.0)]


def test_a_stopped_run_goes_on_in_the_same_run_of_mlflow(make_recipe: MakeRecipe, store: str) -> None:
    recipe = make_recipe("classification")
    with contextlib.suppress(KeyboardInterrupt), open_mlflow_run(store, recipe, run_sha256=SHA256, metric="a") as run:
        run.on_epoch(Epoch(1, 1.0, 91.0, 1.5))
        raise KeyboardInterrupt
    assert [one.info.status for one in runs_in(store)] == ["KILLED"]
    train_in(store, recipe, 2)
    (run,) = runs_in(store)
    assert run.info.status == "FINISHED"
    assert history(store, run, "loss") == [(1, 1.0), (2, 0.5)]


def test_a_broken_run_has_failed(make_recipe: MakeRecipe, store: str) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        open_mlflow_run(store, make_recipe("generation"), run_sha256=SHA256, metric="perplexity"),
    ):
        raise ZeroDivisionError
    assert [run.info.status for run in runs_in(store)] == ["FAILED"]


def test_test_scores_join_the_run(make_recipe: MakeRecipe, store: str) -> None:
    train_in(store, make_recipe("classification"), 1)
    log_scores(store, {"fp32": Score("span F1", 88.5, "of nothing")}, run_sha256=SHA256)
    (run,) = runs_in(store)
    assert run.data.metrics["test_span_F1_fp32"] == 88.5


def test_a_store_that_fails_later_costs_its_numbers_and_not_the_training(
    make_recipe: MakeRecipe, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    def fail(*_: object, **__: object) -> None:
        raise MlflowException("gone")

    with (
        pytest.MonkeyPatch.context() as patch,
        open_mlflow_run(store, make_recipe("classification"), run_sha256=SHA256, metric="span F1") as run,
    ):
        patch.setattr(MlflowClient, "log_batch", fail)
        patch.setattr(MlflowClient, "set_terminated", fail)
        run.on_epoch(Epoch(1, 1.0, 91.0, 1.5))
    ours = [record.getMessage() for record in caplog.records if record.name == "training.tracking.mlflow"]
    assert [message.partition(" reason=")[0] for message in ours] == [
        "mlflow_call_failed epoch=1",
        "mlflow_call_failed status=FINISHED",
    ]


def test_a_store_that_cannot_be_used_is_named_without_its_password(make_recipe: MakeRecipe) -> None:
    pytest.importorskip("mlflow")
    with (
        pytest.raises(TrackingError, match="MLflow at nonsense://host/x: ") as raised,
        open_mlflow_run("nonsense://anna:secret@host/x", make_recipe("classification"), run_sha256=SHA256, metric="a"),
    ):
        pass
    assert "secret" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_without_the_package_one_line_names_it(make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with (
        pytest.raises(TrackingError, match="--mlflow needs the package mlflow or mlflow-skinny"),
        open_mlflow_run("sqlite:///x.db", make_recipe("classification"), run_sha256=SHA256, metric="a"),
    ):
        pass
