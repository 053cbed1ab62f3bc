"""How a stored result was made: the command, the version and commit, the processor and the day."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = ["calls", "provenance"]


def provenance() -> dict[str, str]:
    """What somebody needs who wants to make the same numbers again, or asks why theirs differ.

    Keys: ``command`` as it was typed, ``version`` of buttress, ``commit`` where it runs from a clone (with a ``+``
    where files of the package were changed since), ``torch``, ``python``, ``processor``, ``day`` (UTC).

    Example:
        >>> made = provenance()
        >>> made["torch"].split(".")[0], len(made["day"])
        ('2', 10)
    """
    import buttress

    made = {
        "command": shlex.join([_program(Path(sys.argv[0])), *sys.argv[1:]]),
        "version": buttress.__version__,
        "commit": _commit(Path(buttress.__file__).parent),
        "torch": version("torch"),
        "python": platform.python_version(),
        "processor": _processor(),
        "day": datetime.now(UTC).date().isoformat(),
    }
    return {name: value for name, value in made.items() if value}


def calls(path: Path) -> list[dict[str, str]]:
    """The ``made`` of a result in JSON that is about to be written: every call that had a part in it, this one last.

    Args:
        path: The result; what it says of earlier calls is kept, each once.

    Example:
        >>> calls(Path("nothing/here.json")) == [provenance()]
        True
    """
    try:
        before = [one for one in json.loads(path.read_text("utf-8"))["made"] if isinstance(one, dict)]
    except (OSError, ValueError, KeyError, TypeError):  # there is none, an older one, or a damaged one
        before = []
    now = provenance()
    return [*(one for one in before if one != now), now]


def _program(path: Path) -> str:
    """What was called: the script, or the package where it was called by ``python -m``."""
    return path.parent.name if path.name == "__main__.py" else path.name


def _commit(package: Path) -> str:
    """The commit of the clone that the package is in; empty where it is in none, or where git is missing."""
    if not (package.parents[1] / ".git").exists():  # an installed package may lie in somebody else's clone
        return ""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", package, *words], capture_output=True, text=True, timeout=10, check=True
        ).stdout

    try:
        return git("rev-parse", "HEAD")[:12] + ("+" if git("status", "--porcelain", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _processor() -> str:
    """The name of the processor, as Linux tells it, or the system's own word for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
