"""Sends the numbers of a run to MLflow, where a person asks for it.   An observer of the loop; decides nothing.

The package is no requirement of this project and is imported when it is needed: `mlflow`, or `mlflow-skinny`, which
is enough for a server. Where the numbers go may hold a password: it is written nowhere and is cut out of messages.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from service.bundle.manifest import Precision
from training.errors import TrackingError
from training.run.checkpoint import Epoch
from training.scoring.scores import Score
from training.settings.recipe import Recipe

logger = logging.getLogger(__name__)

EXPERIMENT = "seqserve"
_HASH_TAG = "run_sha256"
_BATCH = 100
"""Parameters that MLflow takes in one call, at most."""
_VALUE_CHARACTERS = 500
"""Of a parameter, at most, on every version of the server."""
_RETRIES = "2"
"""Of a call over HTTP. MLflow's own number lets a server that is not there hold up training for four minutes."""


class MlflowRun:
    """One run of MLflow: a recipe's settings as parameters, the numbers of each epoch as metrics.

    A call that fails later on costs its numbers and a line on the log, not the training.
    """

    def __init__(self, client: "_Client", run_id: str, *, metric: str) -> None:
        self._client = client
        self._run_id = run_id
        self._metric = metric
        self._last: Mapping[str, float] = {}

    def on_update(self, step: int, loss: float, learning_rate: float, gradient_norm: float) -> None:  # noqa: ARG002
        """As `Observer`. Kept until the epoch ends: a call over the network per update would hold up training."""
        self._last = {"learning_rate": learning_rate, "gradient_norm": gradient_norm}

    def on_epoch(self, epoch: Epoch) -> None:
        """As `Observer`."""
        values = {
            "loss": epoch.loss,
            f"validation_{self._metric}".replace(" ", "_"): epoch.value,
            "seconds": epoch.seconds,
            **self._last,
        }
        try:
            self._client.log_metrics(self._run_id, values, step=epoch.number)
        except TrackingError as error:
            logger.warning("mlflow_call_failed epoch=%d reason=%s", epoch.number, error)


@contextmanager
def open_mlflow_run(uri: str, recipe: Recipe, *, run_sha256: str, metric: str) -> Iterator[MlflowRun]:
    """Give an observer of a run of MLflow: the one that has this hash, or a new one. It ends as the block does.

    Args:
        uri: of the tracking server or database, as MLflow names them.
        recipe: its settings become parameters.
        run_sha256: of recipe and data; what was stopped goes on in the same run of MLflow.
        metric: what validation measures.

    Raises:
        TrackingError: the package is missing, or the server cannot be used.
    """
    client = _Client(uri)
    run_id = client.find_run(run_sha256) or client.new_run(recipe, run_sha256)
    client.set_status(run_id, "RUNNING")
    status = "FAILED"
    try:
        yield MlflowRun(client, run_id, metric=metric)
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        client.end(run_id, status)


def log_scores(uri: str, scores: Mapping[Precision, Score], *, run_sha256: str) -> None:
    """Add test scores, by variant, to the run that has this hash.   Errors as `open_mlflow_run`."""
    client = _Client(uri)
    run_id = client.find_run(run_sha256)
    if run_id is not None:
        values = {f"test_{score.name}_{variant}".replace(" ", "_"): score.value for variant, score in scores.items()}
        client.log_metrics(run_id, values, step=0)


class _Client:
    """The few calls that are made, with MLflow's errors as one line of ours."""

    def __init__(self, uri: str) -> None:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
        self._uri = uri
        self._mlflow = _import_mlflow()
        with self._errors():
            self._client: Any = self._mlflow.MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(EXPERIMENT)
            self._experiment: str = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)

    def find_run(self, run_sha256: str) -> str | None:
        """Return the id of the run with this hash, if there is one."""
        with self._errors():
            wanted = f"tags.{_HASH_TAG} = '{run_sha256}'"
            found = self._client.search_runs([self._experiment], filter_string=wanted, max_results=1)
            return str(found[0].info.run_id) if found else None

    def new_run(self, recipe: Recipe, run_sha256: str) -> str:
        """Create a run with a recipe's settings and return its id."""
        name = f"{recipe.name}-{recipe.version}-{run_sha256[:8]}"
        items = list(_parameters(recipe.model_dump(mode="json", exclude_none=True)).items())
        with self._errors():
            run = self._client.create_run(self._experiment, run_name=name, tags={_HASH_TAG: run_sha256})
            for start in range(0, len(items), _BATCH):
                some = [self._mlflow.entities.Param(key, value) for key, value in items[start : start + _BATCH]]
                self._client.log_batch(run.info.run_id, params=some)
        return str(run.info.run_id)

    def log_metrics(self, run_id: str, values: Mapping[str, float], *, step: int) -> None:
        """Send numbers that belong to one step."""
        now = int(time.time() * 1000)
        with self._errors():
            metrics = [self._mlflow.entities.Metric(name, value, now, step) for name, value in values.items()]
            self._client.log_batch(run_id, metrics=metrics)

    def set_status(self, run_id: str, status: str) -> None:
        """Say how the run is doing."""
        with self._errors():
            self._client.update_run(run_id, status=status)

    def end(self, run_id: str, status: str) -> None:
        """Say how the run ended; if that cannot be said any more, training has ended all the same."""
        try:
            with self._errors():
                self._client.set_terminated(run_id, status)
        except TrackingError as error:
            logger.warning("mlflow_call_failed status=%s reason=%s", status, error)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._mlflow.exceptions.MlflowException as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            user, _, _ = urlsplit(self._uri).netloc.rpartition("@")
            hidden = f"{user}@" if user else "\0"
            message = f"MLflow at {self._uri}: {reason}"
            raise TrackingError(message.replace(hidden, "")) from error


def _import_mlflow() -> Any:  # a module without types
    try:
        import mlflow  # noqa: PLC0415 - no requirement of this project
        import mlflow.entities  # noqa: PLC0415
        import mlflow.exceptions  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise TrackingError(
            f"--mlflow needs the package mlflow or mlflow-skinny ({error}): pip install mlflow-skinny, or leave it out"
        ) from error
    return mlflow


def _parameters(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten settings into one level, keys joined by dots."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _parameters(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = (value if isinstance(value, str) else json.dumps(value))[:_VALUE_CHARACTERS]
    return found
