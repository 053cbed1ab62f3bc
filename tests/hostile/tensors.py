"""Broken and hostile .safetensors files, with headers and trees of the project's own."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

from .arrays import File, written
from .texts import length, trees


def safetensors(header: Any, body: bytes = b"", says: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return length(len(raw) if says is None else says) + raw + body


def entry(shape: list[Any], end: int, start: int = 0, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def tree(text: str, tensors: dict[str, bytes] | None = None, **other: Any) -> bytes:
    """A checkpoint whose checksum is right, whatever its tree says; tensors are flat float32."""
    tensors = tensors or {}
    value = zlib.crc32(text.encode())
    header: dict[str, Any] = {}
    body = b""
    for name in sorted(tensors):
        value = zlib.crc32(tensors[name], zlib.crc32(name.encode(), value))
        header[name] = entry([len(tensors[name]) // 4], len(body) + len(tensors[name]), len(body))
        body += tensors[name]
    about = json.dumps({"format": 1, "crc32": value, "tree": text} | other)
    return safetensors({"__metadata__": {"buttress": about}, **header}, body)


TREES = {
    "null": "null",
    "number": "1",
    "empty": "{}",
    "no-kind": '{"other": 1}',
    "two-kinds": '{"dict": [], "tuple": []}',
    "no-tensor": '{"tensor": "nothing"}',
    "list-for-name": '{"tensor": [1]}',
    "no-pairs": '{"dict": [1]}',
    "dict-of-dict": '{"dict": {"a": 1}}',
    "list-as-key": '{"dict": [[[1], 2]]}',
    "tuple-of-none": '{"tuple": null}',
    "deep": "[" * 100_000,
    "deep-500": "[" * 500 + "]" * 500,
    "deep-dicts": '{"tuple": [' * 400 + "]}" * 400,
    "not-json": "so",
    "digits": "9" * 9000,
    "model-of-none": '{"dict": [["model", null]]}',
    "model-of-words": '{"dict": [["model", {"dict": [["a", "b"]]}]]}',
    "states": '{"dict": [["model", {"dict": []}], ["state_dict", {"dict": []}], ["loops", 5], ["global_step", "x"], ["epoch", null], ["pytorch-lightning_version", "9"]]}',
    "nan": '{"dict": [["mean", NaN]]}',
}


def tensors() -> Iterator[File]:
    """.safetensors files: headers that lie, are deep or huge; trees that are none."""
    raw = {
        "nothing": b"",
        "short": b"\1\2",
        "zeros": bytes(64),
        "huge-header": length(2**60) + b"{}",
        "negative-header": length(2**64 - 1) + b"{}",
        "large-header": length(90_000_000) + b"{}",
        "cut-header": safetensors({"a": entry([2], 8)}, b"")[:20],
        "no-json": safetensors(b"so it is"),
        "deep-header": safetensors(b"[" * 50_000),
        "deep-metadata": safetensors(b'{"__metadata__":' * 5000),
        "list-header": safetensors([1]),
        "no-body": safetensors({"a": entry([2], 8)}),
        "longer": safetensors({"a": entry([2], 8)}, bytes(99)),
        "huge-shape": safetensors({"a": entry([2**40, 2**40], 8)}, bytes(8)),
        "negative-shape": safetensors({"a": entry([-2], 8)}, bytes(8)),
        "huge-offsets": safetensors({"a": entry([2**40], 2**42)}, bytes(8)),
        "backwards": safetensors({"a": entry([2], 0, 8)}, bytes(8)),
        "overlap": safetensors({"a": entry([2], 8), "b": entry([2], 8)}, bytes(8)),
        "hole": safetensors({"a": entry([2], 16, 8)}, bytes(16)),
        "dtype": safetensors({"a": entry([2], 8, dtype="Q99")}, bytes(8)),
        "word-shape": safetensors({"a": entry(["x"], 8)}, bytes(8)),
        "twice": safetensors(
            b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
            bytes(4),
        ),
        "no-tensors": safetensors({}),
        "foreign": safetensors({"a": entry([2], 8)}, bytes(8)),
        "empty-tensor": safetensors({"a": entry([0, 2**40], 0)}),
        "metadata-number": safetensors({"__metadata__": {"buttress": 5}}),
        "metadata-words": safetensors({"__metadata__": {"buttress": "so"}}),
        "pickle": b"\x80\x02}q\0.",
        "zip": b"PK\3\4" + bytes(90),
        "many": safetensors({f"t{i}": entry([0], 0) for i in range(100_000)}),
        "format-9": tree("{}", format=9),
        "no-tree": tree("{}", tree=None),
        "crc-word": tree("{}", crc32="x"),
        "f8": safetensors(
            {
                "__metadata__": {"buttress": json.dumps({"format": 1, "crc32": 0, "tree": "{}"})},
                "a": entry([8], 8, dtype="F8_E4M3"),
            },
            bytes(8),
        ),
        "samples-of-4": safetensors({"__metadata__": {"kind": "image"}, "samples": entry([2, 2], 16)}, bytes(16)),
        "kind": safetensors(
            {"__metadata__": {"kind": "<script>[red]", "columns": "5"}, "samples": entry([2, 2], 16)}, bytes(16)
        ),
        "columns": safetensors(
            {"__metadata__": {"kind": "table", "columns": "[" * 9000}, "samples": entry([2, 2], 16)}, bytes(16)
        ),
        "columns-fewer": safetensors(
            {"__metadata__": {"kind": "table", "columns": '["a"]'}, "samples": entry([2, 2], 16)}, bytes(16)
        ),
        "image-of-0": safetensors({"__metadata__": {"kind": "image"}, "samples": entry([5, 0, 0, 0], 0, dtype="U8")}),
        "image-wide": safetensors(
            {"__metadata__": {"kind": "image"}, "samples": entry([1, 1, 1, 5_000_000], 5_000_000, dtype="U8")},
            bytes(5_000_000),
        ),
        "nan-samples": safetensors(
            {"__metadata__": {"kind": "table", "columns": '["a", "b"]'}, "samples": entry([2, 2], 16)}, b"\xff" * 16
        ),
        "rates": tree(
            '{"dict": [["mean", {"tensor": "mean"}], ["std", {"tensor": "std"}]]}',
            {"mean": b"\xff" * 12, "std": b"\xff" * 12},
        ),
    }
    raw |= {f"tree-{name}": tree(text) for name, text in TREES.items()}
    raw |= {f"header-{name}": safetensors(text.encode()) for name, text in trees().items() if len(text) < 300_000}
    yield from ((f"tensors-{name}", written(data)) for name, data in raw.items())
