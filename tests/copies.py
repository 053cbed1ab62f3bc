"""Processes that begin as copies of one that has imported everything, for spawned ones take seconds to import it.

They are as clean as spawned ones: the one they are copies of has seen no test. Tests see spawned ones too:
``test_no_process_outlives_a_comparison_that_was_killed``, and those with the fixture ``spawned``.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from torch.multiprocessing.spawn import start_processes as torch_start_processes

PRELOADED = ["everything", "small", "copies"]
"""Modules beside this file. Where one can't be imported, Python says nothing and each copy imports for itself."""
HERE = Path(__file__).parent


class Copy(ForkServerProcess):
    """A process with the environment and folder of the one that asks for it, as a spawned one has."""

    def start(self) -> None:
        self.environment = dict(os.environ)
        found = os.pathsep.join([str(HERE), str(HERE / "training"), *filter(None, [os.environ.get("PYTHONPATH")])])
        with patch.dict(os.environ, PYTHONPATH=found):  # the first one imports: Python 3.11 tells it of no other path
            super().start()

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self.environment)
        super().run()


class Copies(ForkServerContext):
    """Makes processes that are copies."""

    Process = Copy


CONTEXT = Copies()


def of_a_pool() -> SimpleNamespace:
    """What ``buttress.experiments.pool`` uses of ``multiprocessing``."""
    return SimpleNamespace(get_context=lambda method: CONTEXT, parent_process=multiprocessing.parent_process)


def start_processes(*args: Any, start_method: str, **kwargs: Any) -> Any:
    """That of torch."""
    with patch.object(multiprocessing, "get_context", lambda method=None: CONTEXT):
        return torch_start_processes(*args, start_method="forkserver", **kwargs)


def run_apart(program: str) -> None:
    """Run a program in a process that has seen no test, so without checks of shapes; it fails as the program does."""
    process = CONTEXT.Process(target=exec, args=(program, {"__name__": "apart"}))
    process.start()
    process.join(120)
    assert process.exitcode == 0, "what the program raised stands in what was captured on stderr"
