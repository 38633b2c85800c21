"""What a run finds on its machine: the device, the random number generators, and what else decides the last bits."""

import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from training.errors import RecipeError
from training.settings.recipe import Recipe
from training.settings.training import TrainingSettings


def find_device(recipe: Recipe) -> torch.device:
    """Return the device that a recipe asks for.

    Raises:
        RecipeError: it asks for a GPU, and there is none.
    """
    wanted = recipe.training.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            f'recipe {recipe.name}: training.device is "cuda", and PyTorch finds no CUDA device here; '
            'set device = "cpu", or run where there is one'
        )
    return torch.device(wanted)


def found_conditions(device: torch.device, process_count: int) -> dict[str, str]:
    """Return what must be the same for results to be the same bit for bit, besides recipe and data."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processes": str(process_count),
        "threads": str(torch.get_num_threads()),
        "torch": str(torch.__version__),
    }


def describe_machine(settings: TrainingSettings) -> str:
    """Say what a recipe is trained on here, for people: the processor, and how much of it."""
    if settings.device == "cuda" and torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, {settings.precision}"
    return f"{describe_processor(torch.device('cpu'))}, {describe_threads(settings.threads)}, {settings.precision}"


def describe_processor(device: torch.device) -> str:
    """Name what trains here on such a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()} with {os.cpu_count()} cores"


def describe_threads(count: int) -> str:
    """Say how many threads compute."""
    return f"{count} thread{'s' if count > 1 else ''}"


def _processor() -> str:
    """The processor's name, as Linux tells it, or the little that Python knows."""
    facts = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.*)$", facts.read_text(), re.MULTILINE) if facts.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def changed_conditions(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Say what is different, in one phrase; empty where nothing is."""
    changes = (
        f"{name} {before.get(name, 'unknown')} before, {value} now"
        for name, value in now.items()
        if before.get(name) != value
    )
    return ", ".join(changes)


def random_state(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators that training on a device draws from."""
    states = {"cpu": torch.get_rng_state()}
    return states | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def restore_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Take over what `random_state` gave on the same kind of device."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
