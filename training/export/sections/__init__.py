"""The sections of a model card that tell of a run: its data, its training, what came of it."""
