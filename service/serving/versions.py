"""Which versions lie in the repository, and what to do about that.   Looks at names and file times; opens no file."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

_MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VERSION = re.compile(r"[1-9][0-9]{0,17}")

Stamp = tuple[tuple[str, int, int, int], ...]
"""What tells one content of a folder from another: name, modification time in ns, inode and size of each file."""


@dataclass(frozen=True)
class Action:
    """One thing to do to the catalog."""

    verb: str
    name: str
    version: int


def scan(repository: Path) -> dict[tuple[str, int], Stamp]:
    """Find every `<name>/<version>/` of a repository; other names are passed over."""
    found: dict[tuple[str, int], Stamp] = {}
    for folder in sorted(path for path in repository.iterdir() if _MODEL_NAME.fullmatch(path.name) and path.is_dir()):
        try:
            versions = [path for path in folder.iterdir() if _VERSION.fullmatch(path.name)]
        except OSError as error:  # one folder that cannot be read must not hide the others
            logger.warning("folder_unreadable path=%s problem=%s", folder, error)
            continue
        found |= {(folder.name, int(version.name)): _stamp(version) for version in versions}
    return found


def _stamp(version: Path) -> Stamp:
    try:
        files = sorted((entry.name, entry.stat(follow_symlinks=False)) for entry in os.scandir(version))
    except OSError:
        return ()
    return tuple((name, status.st_mtime_ns, status.st_ino, status.st_size) for name, status in files)


def plan(
    found: Mapping[tuple[str, int], Stamp], known: Mapping[tuple[str, int], tuple[str, Stamp]], *, kept_versions: int
) -> list[Action]:
    """Decide what to load and what to drop. Pure: the same arguments, the same decision.

    Per name, the newest `kept_versions` versions that have not failed should serve; an older one goes only once as
    many newer ones are active. A failed version is tried again when its files change.

    Args:
        found: what lies in the repository.
        known: state (`active` or `failed`) and stamp of every version in the catalog.
        kept_versions: how many versions of a name serve side by side.

    Returns:
        Loads first, newest first; then drops.
    """
    loads: list[Action] = []
    drops = [Action("drop", *key) for key in known if key not in found]
    for name in sorted({name for name, _ in found}):
        versions = sorted((version for other, version in found if other == name), reverse=True)
        failed = {v for v in versions if known.get((name, v)) == ("failed", found[name, v])}
        active = {v for v in versions if known.get((name, v), ("", None))[0] == "active"}
        wanted = [version for version in versions if version not in failed][:kept_versions]
        loads += [Action("load", name, version) for version in wanted if version not in active]
        if all(version in active for version in wanted):
            drops += [Action("drop", name, version) for version in sorted(active - set(wanted))]
    return loads + drops
