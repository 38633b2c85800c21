"""The [training] section of a recipe: how the weights are found."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.settings.strict import Fraction, PositiveInteger, StrictModel

Schedule = Literal["linear", "cosine", "inverse_sqrt", "constant", "plateau"]
TeacherForcingSchedule = Literal["constant", "linear", "inverse_sigmoid"]
MACHINE_SETTINGS = frozenset({"threads", "checkpoint_minutes", "checkpoint_steps"})
"""Settings of the machine and not of the result: a run goes on when they change."""


class ExponentialAveraging(StrictModel):
    """Validate and keep an exponential moving average of the weights over updates."""

    kind: Literal["exponential"]
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """Share of the old average that is kept at each update; less in the first ones."""


class LastAveraging(StrictModel):
    """Validate and keep the mean of the weights at the last validations, this one included."""

    kind: Literal["last"]
    count: Annotated[int, Field(ge=2, le=100)] = 5


class TriggeredAveraging(StrictModel):
    """Once validation stops improving, validate and keep the mean of the weights at all updates from then on.

    Source: Merity et al. 2018, arXiv:1708.02182 (NT-ASGD, with `optimizer = "sgd"` and a constant learning rate).
    """

    kind: Literal["triggered"]
    patience: PositiveInteger = 5
    """Begin when a validation is worse than the best of all but the last so many before it."""


AveragingSettings = Annotated[ExponentialAveraging | LastAveraging | TriggeredAveraging, Field(discriminator="kind")]


class TrainingSettings(StrictModel):
    """How the weights are found."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """AdamW's decay of the mean of gradients."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.98
    """AdamW's decay of the mean of squared gradients."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """SGD's."""
    epochs: PositiveInteger
    """At most this many passes over the training examples."""
    patience: PositiveInteger = 3
    """Stop after this many validations in a row without a better metric; the best weights are kept."""
    validate_every: PositiveInteger | None = None
    """Validate after so many updates too, and not at the end of each epoch alone."""
    batch_tokens: PositiveInteger = 2048
    """Rows times padded time of a batch stay within this."""
    accumulate: PositiveInteger = 1
    """Batches per update. Gradients are those of one large batch, each example or token counting the same."""
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 1e-3
    """The highest that the schedule reaches."""
    schedule: Schedule = "linear"
    """After the warm-up. `linear`, `cosine`: down to zero at the last step. `inverse_sqrt`: with the root of the step.
    `constant`: as it is. `plateau`: times `plateau_factor` when validation does not improve."""
    warmup_fraction: Fraction = 0.1
    """The learning rate rises linearly over this fraction of all steps."""
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    plateau_patience: PositiveInteger = 1
    """Validations in a row without a better metric after which the learning rate is reduced."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """On matrices and not on biases; decoupled with AdamW."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Scale the gradient down when its norm over all parameters is larger."""
    averaging: AveragingSettings | None = None
    """Weights that are validated, kept and exported: an average of those that are trained. Left out: these."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the probability that the loss spreads evenly over all labels or tokens."""
    consistency: Annotated[float, Field(ge=0, le=100, exclude_if=lambda value: value == 0)] = 0.0
    """How much two predictions of the same example through different dropout masks are asked to agree. Each batch is
    then read twice. Left out of a run's number where it is 0: runs from before there was it keep theirs."""
    teacher_forcing_ratio: Fraction = 1.0
    """Probability that the decoder is fed the true previous token and not its own. Translation only."""
    teacher_forcing_schedule: TeacherForcingSchedule = "constant"
    """How the ratio falls from 1 to `teacher_forcing_ratio` over updates; `constant`: it is that from the first."""
    teacher_forcing_steps: PositiveInteger | None = None
    """`linear`: updates until the ratio is reached. `inverse_sigmoid`: k of k / (k + exp(update / k)); the ratio is
    half of 1 after k ln k updates."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """`bfloat16`: training computes in it where that is safe (autocast); weights and validation stay float32."""
    device: Literal["cpu", "cuda"] = "cpu"
    threads: Annotated[int, Field(ge=1, le=256)] = 2
    """CPU threads of each process. Results are reproduced bit for bit on the same machine with the same number."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 5.0
    """Within an epoch, write a checkpoint after so many minutes. At each validation one is written anyway."""
    checkpoint_steps: PositiveInteger | None = None
    """Within an epoch, write a checkpoint after so many updates too."""

    @model_validator(mode="after")
    def _teacher_forcing_falls_somewhere(self) -> Self:
        if self.teacher_forcing_schedule == "constant":
            if self.teacher_forcing_steps is not None:
                raise ValueError("teacher_forcing_steps is for teacher_forcing_schedule linear or inverse_sigmoid")
        elif self.teacher_forcing_steps is None or self.teacher_forcing_ratio == 1:
            raise ValueError(
                f"teacher_forcing_schedule {self.teacher_forcing_schedule} needs teacher_forcing_steps, "
                "and a teacher_forcing_ratio below 1 to fall to"
            )
        return self

    @model_validator(mode="after")
    def _an_average_begins_before_training_stops(self) -> Self:
        if isinstance(self.averaging, TriggeredAveraging) and self.patience < self.averaging.patience + 2:
            raise ValueError(
                f"patience {self.patience} stops training before an average with averaging.patience "
                f"{self.averaging.patience} is validated: expected patience of {self.averaging.patience + 2} or more"
            )
        return self

    @model_validator(mode="after")
    def _optimizer_has_its_own_settings(self) -> Self:
        if self.optimizer == "adamw" and self.momentum > 0:
            raise ValueError("momentum is for optimizer sgd; adamw has beta1")
        return self
