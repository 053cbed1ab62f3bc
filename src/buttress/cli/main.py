"""The command line, made from the signatures and docstrings in the folder ``commands``.

``buttress train DATA --decoder pixelcnn --decoder.layers 8``: a new part, setting or command needs no line here. The
flags of a command are in :mod:`buttress.cli.flags`, what its recipe starts from in :mod:`buttress.cli.recipes`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any

from buttress import __version__
from buttress.cli import commands, stored
from buttress.cli.docs import summary
from buttress.cli.flags import Command, Line, UnknownFlag
from buttress.cli.help import command_page, list_page, part_page, render
from buttress.cli.sources import sources
from buttress.cli.values import Misread
from buttress.runtime.atomic_write import check_name
from buttress.runtime.one_line import one_line
from buttress.runtime.suggest import suggest
from buttress.runtime.system_errors import plainly

__all__ = ["call", "functions", "main", "script"]

ORDER = ("demo", "train", "diagnose", "compare", "report", "sample", "reconstruct", "interpolate", "traverse")
"""In which a user meets the commands; others follow by name."""
HELP = ("--help", "-h")
LIGHT = ("remedies",)
"""Commands that compute nothing, so that torch need not be imported to prepare for them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. What a user can mend is one line on stderr and code 2.

    A reader that closes the pipe (``| head``) ends it quietly, with the code of a process ended by SIGPIPE.

    Example:
        >>> from contextlib import redirect_stderr
        >>> with redirect_stderr(sys.stdout):
        ...     main(["trian", "mnist5k"])
        buttress: there is no command 'trian'; did you mean 'train'? try buttress --help
        2
    """
    try:
        run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        return _unread()
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # how rich tells of one
            return _unread()
        raise
    except OSError as error:
        return _refuse(plainly(error))
    except ValueError as error:
        return _refuse(str(error))
    except (MemoryError, OverflowError, RuntimeError) as error:
        if (why := _beyond(error)) is None:
            raise
        return _refuse(why)
    except KeyboardInterrupt:
        print(
            "buttress: interrupted; what was saved is kept: train goes on with --resume, others with the same command",
            file=sys.stderr,
        )
        return 130
    return 0


def _refuse(why: str) -> int:
    print(f"buttress: {one_line(why)}", file=sys.stderr)
    return 2


def _beyond(error: Exception) -> str | None:
    """What to say where a number or a file asks for more than the machine can give; None for faults of ours."""
    said = str(error)
    if isinstance(error, RecursionError):
        return "a word or a file of this command is nested too deeply to be read; try a plainer one"
    if isinstance(error, OverflowError):
        return f"a number is too large ({said}); try a smaller one"
    if isinstance(error, MemoryError) or "allocate memory" in said or "out of memory" in said:
        tried = re.search(r"tried to allocate [0-9.]+ \w+", said, re.IGNORECASE)
        why = f" ({tried[0].lower()})" if tried else ""
        return f"there is not enough memory{why}; try less data, a smaller model or fewer draws"
    return None


def _unread() -> int:
    """The exit code where nobody reads on; what Python still holds back goes nowhere, else it complains at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def run(words: list[str]) -> None:
    """Find the command that words name, and call it with the rest.

    Errors:
        Misread: There is no such command, or its words cannot be understood.
    """
    for word in words:
        check_name(word)
    if words[:1] == ["--version"]:
        print(f"buttress {__version__}")
        return
    if words[-1:] and words[-1] in HELP and (page := stored.page(words[:-1])) is not None:
        print(render(page))
        return
    found: Any = commands
    name: list[str] = []
    while isinstance(found, ModuleType):
        known = _summaries(found)
        if not words or words[0] in HELP:
            if words:
                print(render(list_page(name, found, known)))
                return
            raise Misread(f"expected a command, one of {', '.join(known)}; try {' '.join(['buttress', *name])} --help")
        word = words[0].replace("-", "_") if words[0][:1] != "-" else words[0]
        if word not in known:
            raise Misread(_no_command(words[0], known, name))
        words.pop(0)
        name.append(word)
        found = _command(found, name[-1])
    try:
        _run(Command(found, " ".join(name)), words)
    except UnknownFlag as error:
        having = [other for other, source in _ordered(sources(commands)).items() if error.flag in source.flags]
        raise Misread(f"{error}{f' ({having[0]} has it)' if having else ''}") from error


def _summaries(package: ModuleType) -> dict[str, str]:
    """The commands in a folder with a line of each; nothing is imported for it, unless the folder makes its own."""
    if hasattr(package, "functions"):
        return {name: summary(function) for name, function in functions(package).items()}
    return {name: source.summary for name, source in _ordered(sources(package)).items()}


def _command(package: ModuleType, name: str) -> Any:
    """One command of a folder, the only one that is imported; a folder of commands as its module."""
    if hasattr(package, "functions"):
        return functions(package)[name]
    module = importlib.import_module(f"{package.__name__}.{name}")
    return module if hasattr(module, "__path__") else getattr(module, name)


def _no_command(word: str, known: Mapping[str, Any], name: Sequence[str]) -> str:
    whole = " ".join(["buttress", *name])
    what = (
        f"a command comes before its flags, and {word} is a flag"
        if word[:1] == "-"
        else f"there is no command {word!r}"
    )
    return f"{what}; {suggest(word, known)}try {whole} --help"


def _run(command: Command, words: list[str]) -> None:
    """Call a command, or print its help or that of a part; errors speak in the flags that were given."""
    asked = next((i for i, word in enumerate(words) if re.fullmatch(r"--[\w.]+\.help", word.partition("=")[0])), None)
    if asked is not None:
        print(render(part_page(command, words[asked].replace("=", " ").split() + words[asked + 1 : asked + 2])))
        return
    if any(word in HELP for word in words):
        print(render(command_page(command, command.read([word for word in words if word not in HELP]))))
        return
    line = command.read(words)
    places, named = command.values(line)  # a word that is wrong is told before anything is loaded
    if command.name in LIGHT:
        call(command.function, (places, named))
        return
    from buttress.data.opened import opening_once
    from buttress.runtime.denormals import flushed
    from buttress.runtime.heap import kept

    try:
        with flushed(), kept(), opening_once():  # flushed before torch starts its threads
            call(command.function, _values(command, line))
    except ValueError as error:
        if (told := _in_flags(str(error), line.given)) == str(error):
            raise
        raise type(error)(told) from error


def _values(command: Command, line: Line) -> tuple[list[Any], dict[str, Any]]:
    """What the function is called with."""
    from buttress.cli.recipes import experiment_of, recipe_of

    places, named = command.values(line)
    if command.takes_recipe:
        return [recipe_of(command, line), *places], named
    return ([experiment_of(command, line), *places] if command.root else places), named


def call(function: Callable[..., None], values: tuple[list[Any], dict[str, Any]]) -> None:
    """Call a command with what was read for it."""
    places, named = values
    function(*places, **named)


def _in_flags(message: str, given: Mapping[str, str]) -> str:
    """A message that names settings as they are called inside, with the flags that set them.

    Example:
        >>> _in_flags("training: steps is 0, wanted more than 0", {"training.steps": "0"})
        '--training.steps is 0, wanted more than 0'
    """
    for flag in given:
        owner, _, setting = flag.rpartition(".")
        before = rf"(?:\b{owner}: )?" if owner else ""
        message = re.sub(rf"(?<![\w.-]){before}(?<![\w.-]){setting}(?= (?:is|are) )", f"--{flag}", message)
    return message


def script(function: Callable[..., None], words: Sequence[str]) -> None:
    """Call a function with a command line of its own, read as if it were a command: for scripts outside the package.

    Example:
        >>> def repeat(word: str, times: int = 1) -> None:
        ...     print(*[word] * times)
        >>> script(repeat, ["so", "--times", "3"])
        so so so
    """
    _run(Command(function, function.__name__), list(words))


@cache
def functions(package: ModuleType = commands) -> dict[str, Any]:
    """The commands in a folder by name, in the order a user meets them: functions, and folders of functions.

    A folder may make its commands itself, by a function ``functions``.
    """
    if hasattr(package, "functions"):
        made: dict[str, Any] = package.functions()
        return made
    return _ordered({info.name: _command(package, info.name) for info in pkgutil.iter_modules(package.__path__)})


def _ordered(found: Mapping[str, Any]) -> dict[str, Any]:
    return {n: found[n] for n in sorted(found, key=lambda n: (ORDER.index(n) if n in ORDER else len(ORDER), n))}
