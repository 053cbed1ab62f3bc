"""Which data part a name or path on the command line means."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from buttress.core import Data, registry
from buttress.data.reading import hub, npz, sound_archive
from buttress.data.reading.endings import RECORDS, ending, is_text, suffixes
from buttress.data.reading.memory import Rows
from buttress.data.reading.packed import arrays_of, named
from buttress.data.reading.pictures import ENDINGS, pages
from buttress.data.reading.records import has_sentences
from buttress.data.reading.sound import ENDINGS as SOUNDS
from buttress.runtime.safe_files import expanded

__all__ = ["detect"]

_TABLES = (".csv", ".tsv", ".parquet")


def detect(path_or_name: str, **options: Any) -> Data:
    """The data part that is meant.

    Args:
        path_or_name: The name of a part that needs no path (such as ``mnist5k``); a file or folder; several text files
            with commas between; the folder of a run whose z is discrete, for its codes; or a dataset on the Hugging
            Face hub, as ``owner/name`` or ``hf:name``.
        options: Settings of the part.

    Errors:
        ValueError: Nothing of the kind exists, or the part has no such setting.

    Example:
        >>> detect("linear_gaussian", dim=3).dim
        3
        >>> detect("mnsit5k")
        Traceback (most recent call last):
        ValueError: there is no data 'mnsit5k'; did you mean 'mnist5k'? It can be one of linear_gaussian, ...
    """
    if not path_or_name.strip():
        raise ValueError(f"DATA is empty, wanted a file, a folder or a name; {_wanted()}")
    if path_or_name in _named():
        return _made(path_or_name, options)
    path = expanded(path_or_name)
    if path.exists():
        found = _of_folder(path) if path.is_dir() else _of_file(path, options)
        return _made(found, {"path": os.path.abspath(path), **options})
    several = [expanded(p.strip()) for p in path_or_name.split(",")]
    if len(several) > 1 and all(p.exists() for p in several):
        return _made("sentences", {"path": tuple(os.path.abspath(p) for p in several), **options})
    if path_or_name.startswith("hf:") or _like_hub(path_or_name):
        return _made(
            _of_features(hub.load(path_or_name, options.get("subset")), path_or_name),
            {"path": path_or_name, **options},
        )
    raise ValueError(_nothing(path_or_name))


def _named() -> list[str]:
    """The parts that need no path."""
    needs = {name: any(_required(f) for f in fields(part)) for name, part in registry.parts("data").items()}  # type: ignore[arg-type]
    return sorted(name for name, path in needs.items() if not path)


def _required(setting: Any) -> bool:
    return setting.default is MISSING and setting.default_factory is MISSING


def _made(name: str, options: dict[str, Any]) -> Data:
    part: Any = registry.part("data", name)
    known = [f.name for f in fields(part)]
    for option in options:
        if option not in known:
            raise ValueError(
                f"{name} data: no setting {option!r}; {registry.suggest(option, known, 'It has')} {', '.join(known)}"
            )
    made: Data = part(**options)
    return made


def _of_file(path: Path, options: Collection[str]) -> str:
    if ending(path) in _TABLES:
        return _of_columns(path, options)
    if path.suffix.lower() in ENDINGS:
        if pages(path) > 1:
            return "images"
        raise ValueError(f"{path}: one image; try the folder that holds all of them, {path.parent}")
    if (arrays := arrays_of(path)) is not None:
        with named(path, arrays):
            return _of_arrays(arrays, path)
    if is_text(path) or ending(path) in RECORDS:
        return "sentences"
    raise ValueError(f"{path}: no telling what the file holds from its ending; wanted {_endings()}; try renaming it")


def _of_columns(path: Path, options: Collection[str]) -> str:
    """What a file of named columns holds: what the settings are for, or else sentences if a column has some."""
    known = {name: {f.name for f in fields(registry.part("data", name))} for name in ("table", "sentences")}  # type: ignore[arg-type]
    fitting = [name for name, settings in known.items() if settings.issuperset(options)]
    if len(fitting) == 1:
        return fitting[0]
    return "sentences" if has_sentences(path) else "table"


def _of_arrays(arrays: Path, path: Path) -> str:
    if arrays.suffix.lower() == ".npy":
        return _of_axes(len(Rows(arrays).shape), path)
    if sound_archive.is_archive(arrays):
        return "sounds"
    axes = {len(shape) for shape in npz.shapes(arrays).values()}
    return "images" if axes & {3, 4} else _of_axes(2 if 2 in axes else 1, path)


def _of_axes(axes: int, path: Path) -> str:
    if axes == 2:
        return "table"
    if axes in (3, 4):
        return "images"
    raise ValueError(f"{path}: an array of {axes} axes; wanted 2 for a table, 3 or 4 for images; try np.reshape")


def _of_folder(path: Path) -> str:
    if (path / "recipe.yaml").is_file():
        return "codes"
    if hub.is_dataset(path):
        return _of_features(hub.load(str(path), None), str(path))
    found = Counter[str]()
    for file in path.rglob("*"):
        if not file.name.startswith("."):
            found["sounds"] += file.suffix.lower() in SOUNDS
            found["images"] += file.suffix.lower() in ENDINGS
            found["sentences"] += is_text(file) or ending(file) in RECORDS
    name, count = found.most_common(1)[0] if found else ("", 0)
    if not count:
        raise ValueError(
            f"{path}: no images ({', '.join(ENDINGS)}), no sound ({', '.join(SOUNDS)}), no text ({suffixes()}) "
            "and no saved dataset in this folder; try naming a file in it"
        )
    return name


def _of_features(data: Any, path: str) -> str:
    kinds = [type(f).__name__ for f in data.features.values()]
    if "Image" in kinds:
        return "images"
    if any(getattr(f, "dtype", None) in ("string", "large_string") for f in data.features.values()):
        return "sentences"
    raise ValueError(
        f"{path}: a dataset without images or text; it has {', '.join(data.features)}; try a .parquet file"
    )


def _like_hub(name: str) -> bool:
    owner, _, rest = name.partition("/")
    return bool(owner and rest) and "/" not in rest and not name.startswith((".", "~")) and not Path(name).suffix


def _endings() -> str:
    return ", ".join((".npy", ".npz", suffixes()))


def _nothing(name: str) -> str:
    wanted = registry.suggest(name, [*_named(), *(p.name for p in Path.cwd().iterdir())], _wanted())
    return f"there is no data {name!r}; {wanted}. Looked in {Path.cwd()}"


def _wanted() -> str:
    return (
        f"It can be one of {', '.join(_named())}; a file ({_endings()}); a folder of images or text; or a Hugging Face "
        "dataset (owner/name or hf:name)"
    )
