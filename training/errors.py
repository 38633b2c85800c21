"""What goes wrong in training through no fault of the code.   One clear line: which file, where, what was expected.

`training.__main__` prints the message and exits with code 2; nothing else needs to know more about them.
"""


class TrainingError(Exception):
    """A mistake in what training was given. The message is one line, written for the person who can mend it."""


class DataError(TrainingError):
    """A corpus is missing, or a file of it is not what its reader expects."""


class RecipeError(TrainingError):
    """A recipe cannot be read, or asks for something that does not exist or does not fit together."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, damaged, or of another run."""


class ExportError(TrainingError):
    """A trained model cannot become a bundle, or a published one stands in its way."""


class DivergedError(TrainingError):
    """A loss is not a number any more: the weights are lost."""


class StoppedError(TrainingError):
    """Ctrl-C, or SIGTERM. The message says what is kept and how to go on."""


class LostProcessError(TrainingError):
    """One of several processes that trained together is gone. Told by every process that is left."""


class TrackingError(TrainingError):
    """A tracker is not installed, or cannot be used; or what shows a run cannot be written."""
