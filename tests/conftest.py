"""Settings for every test: what hypothesis draws is the same in every run."""

from hypothesis import settings

settings.register_profile("same-every-time", derandomize=True, deadline=None)
settings.load_profile("same-every-time")
