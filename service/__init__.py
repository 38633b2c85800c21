"""The server: bundles in, answers over gRPC out.   Never sees torch or training."""

VERSION = "0.1.0"
"""That of pyproject.toml; the service runs from a checkout, where no installed package tells it."""
