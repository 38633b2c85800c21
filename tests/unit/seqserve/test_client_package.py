"""What importing the package gives, and what it must not need."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import seqserve
from seqserve import AsyncClient, Client

OF_THE_EXTRAS = {"typer", "rich", "click", "matplotlib", "symusic"}
PACKAGE = Path(inspect.getfile(seqserve)).parent


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a module imports, at any depth of its code."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in plain | froms}


def test_public_names_are_complete() -> None:
    public = {
        name
        for name, value in vars(seqserve).items()
        if not name.startswith("_") and not inspect.ismodule(value) and value is not seqserve
    }
    assert sorted(seqserve.__all__) == sorted(public)


def test_public_names_have_help() -> None:
    assert [name for name in seqserve.__all__ if not inspect.getdoc(getattr(seqserve, name))] == []


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def without_iterable(parameter: inspect.Parameter) -> inspect.Parameter:
        """In asyncio, what is iterable may be asynchronous too."""
        taken = repr(parameter.annotation)
        return parameter.replace(annotation="many") if "abc.Iterable[" in taken else parameter

    def signatures(client: type) -> dict[str, list[inspect.Parameter]]:
        return {
            name: [without_iterable(parameter) for parameter in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_") or name == "__init__"
        }

    assert signatures(Client) == signatures(AsyncClient)


@pytest.mark.parametrize(
    "path", sorted([*PACKAGE.glob("*.py"), *PACKAGE.glob("many/*.py")]), ids=lambda path: path.name
)
def test_only_the_command_needs_the_extras(path: Path) -> None:
    assert imported_packages(path) & OF_THE_EXTRAS == set()


@pytest.mark.parametrize("module", ["seqserve", "seqserve.command", "seqserve.command.verbs"])
def test_importing_loads_nothing_that_is_for_another_use(module: str) -> None:
    needed = {"typer", "rich", "click"} if module.endswith("verbs") else set()
    code = f"import sys, {module}; print(*{OF_THE_EXTRAS - needed} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_the_command_without_its_extra_is_one_clear_line(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from seqserve.command import main; main(['models'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "seqserve: the command needs more than the client: pip install 'seqserve[cli]'\n"
