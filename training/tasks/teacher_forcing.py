"""How often a decoder in training is fed the true previous token and not its own, update by update.

Source: Bengio et al. 2015, arXiv:1506.03099 (scheduled sampling), section 2.4.
"""

import math

from training.settings.training import TrainingSettings


def teacher_forcing_ratio(settings: TrainingSettings, step: int) -> float:
    """Return the probability of the true token, in [0, 1], at the update after `step` others."""
    lowest, steps = settings.teacher_forcing_ratio, settings.teacher_forcing_steps
    if settings.teacher_forcing_schedule == "constant" or steps is None:
        return lowest
    if settings.teacher_forcing_schedule == "linear":
        return max(lowest, 1 - (1 - lowest) * step / steps)
    return max(lowest, steps / (steps + math.exp(min(step / steps, 700.0))))  # math.exp goes no further than 709
