"""Stopping at the end of a step because somebody asked: SIGTERM, or Ctrl-C. The same once more stops at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Stop"]


class Stop:
    """The wish to stop, shared by the processes of a run.

    Args:
        parent: Process id of the launching process, where this is one of several workers: they leave the signals of a
            terminal to it, and end when it has died.
        cell: The shared number of the signal, 0 while there was none.

    Example:
        >>> launching = Stop()
        >>> worker = Stop(parent=os.getpid(), cell=launching.cell)
        >>> before = worker.signal
        >>> launching.cell.value = signal.SIGTERM  # what its handler writes down when somebody asks
        >>> before, worker.signal == signal.SIGTERM
        (0, True)
    """

    def __init__(self, parent: int | None = None, cell: Any = None) -> None:
        self.parent = parent
        self.cell = cell if cell is not None else multiprocessing.get_context("spawn").RawValue("i", 0)
        self._before: dict[int, Any] = {}

    @property
    def signal(self) -> int:
        """The number of the signal that asked to stop; 0 for none."""
        return int(self.cell.value)

    def install(self) -> None:
        """Listen. Only a process's main thread can; elsewhere nothing happens."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                previous = signal.signal(number, self._hear)
                self._before.setdefault(number, previous)

    def remove(self) -> None:
        """Put back the handlers that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.parent is not None and os.getppid() != self.parent:
            os._exit(1)
        if number == signal.SIGINT and self.parent is not None:
            return
        if number == self.signal:
            raise KeyboardInterrupt
        self.cell.value = number
