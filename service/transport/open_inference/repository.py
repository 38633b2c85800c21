"""What the repository holds and what its models have done; models let in and taken out.   Knows no tensors."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from service.errors import DeadlineExceededError, InvalidArgumentError, ModelNotFoundError, NotOfferedError
from service.serving.api import InferenceFront
from service.serving.statistics import ModelStatistics, Spent
from service.transport.convert import checked_model
from service.transport.open_inference.infer.requests import ready_model
from service.transport.open_inference.infer.tensors import shown
from service.transport.open_inference.v2 import grpc_service_pb2 as protocol

_STATES = {"active": "READY", "loading": "LOADING", "failed": "UNAVAILABLE"}
_UNLOADED = "unloaded"
_UNLOAD_DEPENDENTS = "unload_dependents"

ControlRequest = protocol.RepositoryModelLoadRequest | protocol.RepositoryModelUnloadRequest


class RepositoryControl(Protocol):
    """Who can let models serve and take them out."""

    def withheld(self) -> Sequence[str]:
        """Names that were taken out."""
        ...

    async def load(self, name: str) -> None:
        """Let a model serve."""
        ...

    async def unload(self, name: str) -> None:
        """Take a model out."""
        ...


class Repository:
    """Answers the RPCs about the repository.

    Args:
        front: knows the models.
        control: lets them in and takes them out; None where clients may not.
    """

    def __init__(self, front: InferenceFront, control: RepositoryControl | None) -> None:
        self._front = front
        self._control = control
        self._at_work: set[asyncio.Future[None]] = set()

    @property
    def controlled(self) -> bool:
        """Whether clients may let models in and take them out."""
        return self._control is not None

    def took_out(self, name: str) -> bool:
        """Whether a client took this model out."""
        return self._control is not None and name in self._control.withheld()

    def index(self, request: protocol.RepositoryIndexRequest) -> protocol.RepositoryIndexResponse:
        """Every version with its state, and the models that were taken out."""
        _check_repository(request.repository_name)
        response = protocol.RepositoryIndexResponse()
        for info in self._front.list_models():
            if info.state == "active" or not request.ready:
                state = _STATES[info.state]
                response.models.add(name=info.name, version=str(info.version), state=state, reason=info.failure)
        withheld = () if request.ready or self._control is None else self._control.withheld()
        for name in withheld:
            response.models.add(name=name, state="UNAVAILABLE", reason=_UNLOADED)
        return response

    async def load(self, request: protocol.RepositoryModelLoadRequest, deadline: float) -> None:
        """Let a model serve, as it lies in the repository."""
        control = self._checked(request, allowed=())
        await self._done(control.load, request.model_name, deadline)

    async def unload(self, request: protocol.RepositoryModelUnloadRequest, deadline: float) -> None:
        """Take a model out. There are no dependents."""
        control = self._checked(request, allowed=(_UNLOAD_DEPENDENTS,))
        await self._done(control.unload, request.model_name, deadline)

    def statistics(self, name: str, version: str) -> protocol.ModelStatisticsResponse:
        """What one version has done, or every one that answers where no name is given."""
        found = self._front.statistics()
        if name:
            info = ready_model(self._front, name, version, "name")
            found = [one for one in found if one.name == name and (not version or one.version == info.version)]
        return protocol.ModelStatisticsResponse(model_stats=[_statistics(one) for one in found])

    def _checked(self, request: ControlRequest, allowed: Sequence[str]) -> RepositoryControl:
        if self._control is None:
            raise NotOfferedError(
                "this server lets no client load or unload models: see its setting repository_control"
            )
        _check_repository(request.repository_name)
        checked_model(request.model_name)
        if "@" in request.model_name:
            raise ModelNotFoundError(f"no model is called {shown(request.model_name)}", field="model_name")
        for name in request.parameters:
            if name not in allowed:
                raise InvalidArgumentError(
                    f"parameters has {shown(name)}: a model is served as it lies in the repository", field="parameters"
                )
        return self._control

    async def _done(self, change: Callable[[str], Awaitable[None]], name: str, deadline: float) -> None:
        """Make a change, which goes on if the caller leaves."""
        work = asyncio.ensure_future(change(name))
        self._at_work.add(work)
        work.add_done_callback(self._end)
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await asyncio.shield(work)
        except TimeoutError as error:
            raise DeadlineExceededError(
                "the deadline passed before the model was changed; the change goes on"
            ) from error

    def _end(self, work: asyncio.Future[None]) -> None:
        self._at_work.discard(work)
        if not work.cancelled():
            work.exception()  # looked at, for a caller that has left cannot


def _check_repository(name: str) -> None:
    if name:
        raise InvalidArgumentError(
            f"repository_name is {shown(name)}: the server has one repository, which has no name",
            field="repository_name",
        )


def _statistics(found: ModelStatistics) -> protocol.ModelStatistics:
    requests = found.requests
    return protocol.ModelStatistics(
        name=found.name,
        version=str(found.version),
        last_inference=round(requests.last_inference_time * 1000),
        inference_count=requests.inference_count,
        execution_count=sum(spent.count for spent in found.runs.values()),
        inference_stats=protocol.InferStatistics(
            success=_duration(requests.success),
            fail=_duration(requests.fail),
            queue=_duration(requests.queue),
            compute_input=_duration(requests.reading),
            compute_infer=_duration(requests.compute),
            compute_output=_duration(requests.writing),
        ),
        batch_stats=[
            protocol.InferBatchStatistics(batch_size=rows, compute_infer=_duration(spent))
            for rows, spent in sorted(found.runs.items())
        ],
    )


def _duration(spent: Spent) -> protocol.StatisticDuration:
    return protocol.StatisticDuration(count=spent.count, ns=round(spent.seconds * 1e9))
