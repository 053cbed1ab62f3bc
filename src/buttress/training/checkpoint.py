"""Checkpoints that hold no code: one safetensors file, its tensors by name and everything else as JSON in its header.

A file is written whole or not at all (:mod:`buttress.runtime.atomic_write`). A checksum over header and tensors tells
a damaged file from a whole one.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from buttress.runtime.atomic_write import replace_file
from buttress.runtime.plain_data import parse_json
from buttress.runtime.safe_files import regular

__all__ = ["load", "save"]

FORMAT = 1


def save(path: str | Path, tree: dict[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors, numbers, strings and None.

    The entries of a flat dict of tensors keep their keys as names, so that any reader of safetensors can use them.

    Args:
        path: The file.
        tree: What to write.

    Errors:
        ValueError: The tree holds something else.
        OSError: The disk is full or the folder cannot be written; an earlier file at ``path`` is still there.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_describe(tree, "", tensors, {}))
    header = json.dumps({"format": FORMAT, "crc32": _checksum(text, tensors), "tree": text})
    # One entry: safetensors writes several in random order, and equal states should be equal files.
    replace_file(path, lambda scratch: save_file(tensors, scratch, {"buttress": header}))


def load(path: str | Path) -> dict[str, Any]:
    """The inverse of :func:`save`. Nothing in the file is run.

    Errors:
        ValueError: The file is damaged, cut short, or was not written by :func:`save`.
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such checkpoint")
    regular(path)
    try:
        with safe_open(path, "pt") as file:
            header = (file.metadata() or {}).get("buttress")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: {_strange(path)} ({error})") from error
    if header is None:
        raise ValueError(f"{path}: a safetensors file, but no checkpoint of buttress (its header says nothing of it)")
    plain = _readable(header)
    if plain.get("format") != FORMAT:
        raise ValueError(f"{path}: a checkpoint of format {plain.get('format')!r}, wanted {FORMAT}")
    if plain.get("crc32") != _checksum(str(plain.get("tree")), tensors):
        raise ValueError(f"{path}: damaged, its checksum is wrong; go back to a copy of it, or train again")
    tree = parse_json(plain["tree"], path, constants=True)
    try:
        return dict(_restore(tree, tensors))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: its tree is none of buttress ({error}); go back to a copy of it") from error


def _readable(header: str) -> dict[str, Any]:
    """The header as JSON; where it is none, one whose checksum cannot be right."""
    try:
        plain = parse_json(header, "the header")
    except ValueError:
        return {"format": FORMAT}
    return plain if isinstance(plain, dict) else {"format": FORMAT}


def _describe(value: Any, where: str, tensors: dict[str, Tensor], known: dict[Any, str]) -> Any:
    """The tree as JSON with tensors replaced by their names; fills ``tensors``. A tensor met twice is stored once."""
    if isinstance(value, Tensor):
        key = (value.data_ptr(), value.dtype, value.shape, value.stride()) if value.numel() else id(value)
        if key not in known:
            known[key] = _free(where, tensors)
            tensors[known[key]] = value.detach().cpu().contiguous().clone()
        return {"tensor": known[key]}
    if isinstance(value, dict):
        names = {k: f"{where}.{k}" if where else str(k) for k in value}
        return {"dict": [[k, _describe(v, names[k], tensors, known)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        items = [_describe(v, f"{where}.{i}", tensors, known) for i, v in enumerate(value)]
        return {"tuple": items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(
        f"a checkpoint holds tensors, numbers, strings, lists and dicts of these, but {where} is {value!r}"
    )


def _free(name: str, taken: dict[str, Tensor]) -> str:
    while name in taken:
        name += "'"
    return name


def _restore(plain: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(plain, list):
        return [_restore(v, tensors) for v in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, inside),) = plain.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "tuple":
        return tuple(_restore(v, tensors) for v in inside)
    return {key: _restore(v, tensors) for key, v in inside}


def _checksum(text: str, tensors: dict[str, Tensor]) -> int:
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        raw: Any = tensors[name].reshape(-1).view(torch.uint8).numpy()
        value = zlib.crc32(raw, zlib.crc32(name.encode(), value))
    return value


def _strange(path: Path) -> str:
    """What a file that safetensors cannot read probably is."""
    with path.open("rb") as file:
        start = file.read(9)
    if start[:2] == b"PK" or (re.match(rb"\x80[\x02-\x05]", start) and start[8:] not in (b"", b"{")):
        return "a pickled checkpoint, as torch.save makes them; buttress reads only safetensors, which hold no code"
    return "not a whole safetensors file: perhaps cut short, or something else; go back to a copy of it, or train again"
