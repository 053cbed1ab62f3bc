"""What the operating system refused, as one sentence for people."""

from __future__ import annotations

from buttress.runtime.atomic_write import FULL

__all__ = ["DiskFull", "plainly"]

RESUME = "go on with --resume"
AGAIN = "give the same command again"


class DiskFull(OSError):
    """A run ended because there was no room for more; its last checkpoint is kept.

    Args:
        found: What is full, and what is kept.

    Example:
        >>> error = DiskFull("runs/a: no space is left on the disk; no checkpoint had been made yet")
        >>> print(error)
        runs/a: no space is left on the disk; no checkpoint had been made yet; make room, and go on with --resume
        >>> error.again
        'runs/a: no space is left on the disk; no checkpoint had been made yet; make room, and give the same ...'
    """

    def __init__(self, found: str) -> None:
        super().__init__(f"{found}; make room, and {RESUME}")
        self.found = found

    def __reduce__(self) -> tuple[type[DiskFull], tuple[str]]:
        """What another process makes it from, where several train one model."""
        return DiskFull, (self.found,)

    @property
    def again(self) -> str:
        """The sentence where the run is one of several, whose command has no ``--resume`` and goes on by itself."""
        return f"{self.found}; make room, and {AGAIN}"


def plainly(error: OSError, one_of_several: bool = False) -> str:
    """An error of the system in one sentence, without its number and its class.

    Args:
        error: What was raised.
        one_of_several: Whether it ended one of the runs of a command that goes on when it is given again.

    Example:
        >>> print(plainly(OSError(28, "No space left on device", "runs/a.json"), one_of_several=True))
        runs/a.json: there is no room for more (No space left on device); make room, and give the same command again
        >>> print(plainly(PermissionError(13, "Permission denied", "a.json")))
        a.json: Permission denied; try another path
    """
    if isinstance(error, DiskFull):
        return error.again if one_of_several else str(error)
    if error.errno in FULL:
        where = f"{error.filename}: " if error.filename else ""
        train = "" if one_of_several else " (train with --resume)"
        return f"{where}there is no room for more ({error.strerror}); make room, and {AGAIN}{train}"
    named = error.strerror and error.filename is not None
    return f"{error.filename}: {error.strerror}; try another path" if named else str(error)
