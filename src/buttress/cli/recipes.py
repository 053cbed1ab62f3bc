"""The recipe or the experiment that a command line means: a start, and what flags change in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from buttress.cli.flags import Command, Line, change
from buttress.cli.values import YES, Misread
from buttress.core import Data, registry
from buttress.core.recipe import Recipe
from buttress.runtime.safe_files import expanded

__all__ = ["experiment_of", "recipe_of", "starting_recipe"]

NEWEST = "runs/latest"
"""Where `train` puts a link to the run it made last."""


def experiment_of(command: Command, line: Line) -> Any:
    """The experiment of a paper with its defaults, changed by flags."""
    given = {flag: text for flag, text in line.given.items() if flag not in command.own}
    full = line.given.get("full", "false").lower() in YES
    start = command.root.full() if full else command.root()
    return registry.from_plain(command.root, change(command.root, registry.to_plain(start), given), "experiment")


def recipe_of(command: Command, line: Line) -> Recipe:
    """The recipe that a command line means.

    Args:
        command: A command that takes a recipe.
        line: What was typed behind it; the first word is DATA.

    Errors:
        Misread: A flag that does not fit, or no DATA where nothing else says which data are meant.
        ValueError: The data cannot be read, or a setting is out of its range.

    Example:
        >>> def build(recipe: Recipe) -> None: ...
        >>> command = Command(build, "build")
        >>> recipe_of(command, command.read(["linear_gaussian", "--posterior.dim", "3"])).posterior
        GaussianPosterior(dim=3, min_log_variance=-12.0, max_log_variance=8.0, bias=True, variance='per_example')
    """
    start = starting_recipe(command, line)
    given = {flag: text for flag, text in line.given.items() if flag not in (*command.own, "from")}
    if line.words:
        given = {flag: text for flag, text in given.items() if flag not in line.within("data")}
    try:
        plain = change(Recipe, registry.to_plain(start), given)
    except Misread as error:
        raise Misread(_of_remedy(str(error), line.given)) from error
    recipe: Recipe = registry.from_plain(Recipe, plain, "recipe")
    return recipe


def starting_recipe(command: Command, line: Line) -> Recipe:
    """What flags change: the recipe given with --from or that of the run to be resumed, or the baseline for DATA."""
    from buttress.baseline import baseline
    from buttress.data.opened import opened

    stored = _stored(command, line)
    if not line.words:
        if stored is None:
            raise Misread(
                f"buttress {command.name} expects DATA, and it is missing; try buttress {command.name} --help"
            )
        return stored
    data = _data(line.words[0], line.within("data"))
    if stored is not None:
        return replace(stored, data=data)
    splits = opened(data)
    return baseline(data, splits.spec, len(splits.train))


def _stored(command: Command, line: Line) -> Recipe | None:
    """A recipe that lies somewhere already, if one is meant."""
    path = line.given.get("from")
    if path is None and not line.words and line.given.get("resume", "").lower() in YES:
        path = line.given.get("out", NEWEST)
        if not (Path(path) / "recipe.yaml").is_file():
            raise Misread(f"{path} holds no run to resume; try another --out, or give DATA to train a new one")
    if path is None:
        return None
    return Recipe.load(Path(path) / "recipe.yaml" if Path(path).is_dir() else path)


def _data(source: str, given: Mapping[str, str]) -> Data:
    """The data part with the user's settings, known before all others because the baseline depends on it."""
    from buttress.data.source import detect

    if (kind := given.get("data")) in registry.names("data"):
        plain = {"name": kind, "path": os.path.abspath(expanded(source))}
        given = {flag: text for flag, text in given.items() if flag != "data"}
    else:
        plain = registry.to_plain(detect(source))
    changed = change(Recipe, {"data": plain}, given)["data"]
    data: Data = registry.from_plain(registry.ROOMS["data"], changed, "data")
    return data


def _of_remedy(message: str, given: Mapping[str, str]) -> str:
    """A message about a setting; where it is one of a remedy asked for, with how that is written."""
    from buttress.core.remedy import catalogue

    flag = message.partition(":")[0].removeprefix("--")
    setting = flag.rpartition(".")[2]
    for piece in given.get("remedies", "").split("+"):
        name = piece.partition(":")[0].strip()
        if "." in flag and name in catalogue() and setting in catalogue()[name].settings:
            why = message.partition("; try ")[0]
            return f"{why}; {setting} is a setting of the remedy: --remedies {piece.strip()}:{setting}={given[flag]}"
    return message
