"""Broken and hostile .npy and .npz files."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

File = tuple[str, Callable[[Path], object]]
"""A name, and what writes the file at a path."""

GOOD = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
HUGE = 10**12


def written(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def npy_bytes(array: np.ndarray, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


def headed(header: str | bytes, body: bytes = b"\0" * 720, version: tuple[int, int] = (1, 0), says: int = -1) -> bytes:
    """A .npy file with any header; ``says`` is the length that it claims for it."""
    raw = header.encode("latin-1", "replace") if isinstance(header, str) else header
    raw += b"\n"
    width = "<H" if version == (1, 0) else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, len(raw) if says < 0 else says) + raw + body


def told(descr: str = "'<f4'", order: str = "False", shape: str = "(60, 3)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


class Evil:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("unpickled"),))


SHAPES = [
    "(1000000000000, 3)",
    "(1099511627776, 1099511627776)",
    f"({2**63}, 3)",
    f"(3, {2**64})",
    "(-60, 3)",
    "(-1, -180)",
    "(60.0, 3)",
    "('60', 3)",
    "(True, 3)",
    "(0, 3)",
    "(60, 0)",
    f"({HUGE}, 0)",
    "(None, 3)",
    "60",
    "[60, 3]",
    "()",
    "(180,)",
    "(1,) * 3",
    "(" + "1, " * 40 + ")",
    "(60, 3, 1, 1, 1)",
    "(3, 60)",
    "(1, 180)",
    "(60, 1000000)",
]
DESCRS = [
    "'O'",
    "'|O'",
    "'<V0'",
    "'|V0'",
    "'<U0'",
    "'|S0'",
    "'<U4'",
    "'|S4'",
    "'<M8[s]'",
    "'<m8[ns]'",
    "'<c8'",
    "'<f2'",
    "'>f4'",
    "'<f8'",
    "'<f16'",
    "'<i8'",
    "'<u8'",
    "'|b1'",
    "'<f3'",
    "''",
    "'nonsense'",
    "None",
    "4",
    "[('a', '<f4')]",
    "[('a', 'O')]",
    "[('a', [('b', [('c', '<f4')])])]",
    "('<f4', (1000000, 1000000))",
    "[]",
    "'<f4, <f4'",
    "{'a': 1}",
    "'<V1000000000'",
    "'|V4'",
    "[('a', '<f4'), ('a', '<f4')]",
]
HEADERS = {
    "empty": "",
    "not-python": "so it is",
    "list": "[1, 2]",
    "call": "__import__('os').mkdir('ran')",
    "no-shape": "{'descr': '<f4'}",
    "more-keys": "{'descr': '<f4', 'fortran_order': False, 'shape': (60, 3), 'x': 1}",
    "parentheses": "(" * 5000,
    "brackets": "[" * 50_000,
    "minus": "-" * 9000 + "1",
    "sums": "1" + "+1" * 20_000,
    "nested-dicts": "{'a':" * 3000,
    "twice": told() + told(),
    "python-2": told(shape="(60L, 3L)"),
    "escape": told(descr=r"'\d'"),
    "nul": "{'descr'\0: 1}",
    "power": told(shape="(10**10**10, 3)"),
    "unclosed": told()[:-4],
    "string": "'" + "a" * 9000 + "'",
    "indent": "   " * 3000 + told(),
    "order": told(order="'x'"),
    "order-2": told(order="2"),
    "fortran": told(order="True"),
    "digits": told(shape="(" + "9" * 5000 + ", 3)"),
}


def npy() -> Iterator[File]:
    """.npy files with lying, deep, huge or cut headers, objects, and values that cannot be meant."""
    good = npy_bytes(GOOD)
    raw = {"nothing": b"", "magic": good[:6], "no-length": good[:9], "half-header": good[:40], "no-body": good[:128]}
    raw |= {
        "cut": good[:-5],
        "longer": good + b"\0" * 999,
        "version-9": headed(told(), version=(9, 9)),
        "zeros": bytes(4096),
        "text": b"a,b\n1,2\n",
        "zip": b"PK\3\4" + bytes(60),
        "gzip": zlib.compress(good),
    }
    raw |= {
        f"says-{n}": headed(told(), version=v, says=n)
        for n, v in ((65535, (1, 0)), (2**32 - 1, (2, 0)), (2**31, (3, 0)), (1, (1, 0)), (0, (1, 0)))
    }
    raw["long-header"] = headed(told() + " " * 60_000, body=GOOD.tobytes())
    raw["very-long-header"] = headed(told() + " " * 20_000_000, body=GOOD.tobytes(), version=(2, 0))
    raw["utf-8-header"] = headed("{'ünï': 1}".encode(), version=(3, 0))
    raw["bad-utf-8-header"] = headed(b"{'\xff\xfe': 1}", version=(3, 0))
    raw |= {f"header-{name}": headed(text, GOOD.tobytes()) for name, text in HEADERS.items()}
    raw |= {f"shape-{i}": headed(told(shape=shape), GOOD.tobytes()) for i, shape in enumerate(SHAPES)}
    raw |= {f"descr-{i}": headed(told(descr=descr), GOOD.tobytes()) for i, descr in enumerate(DESCRS)}
    raw |= {
        f"nothing-of-{i}": headed(told(descr, shape=f"({HUGE}, 3)"), b"")
        for i, descr in enumerate(("'|V0'", "'|S0'", "'<U0'"))
    }
    raw["objects"] = npy_bytes(np.array([Evil()] * 60, dtype=object), pickled=True)
    raw["pickle"] = pickle.dumps(Evil())
    raw["pickle-in-header"] = headed(told("'|O'"), pickle.dumps(Evil()))
    values = {
        "nan": GOOD * np.nan,
        "inf": GOOD * np.inf,
        "same": GOOD * 0,
        "one-row": GOOD[:1],
        "none": GOOD[:0],
        "f16": GOOD.astype(np.float16),
        "complex": GOOD + 1j,
        "f8-large": GOOD.astype(float) * 1e300,
        "strings": GOOD.astype(str),
        "dates": np.arange(180).astype("M8[s]").reshape(60, 3),
        "scalar": np.array(1.0),
        "structured": np.zeros(60, [("a", "f4"), ("b", "f4")]),
        "wide": np.zeros((12, 200_000), np.int8),
        "int64": np.full((60, 3), 2**63 - 1) - np.arange(180).reshape(60, 3),
        "tiny": GOOD * 1e-44,
    }
    raw |= {f"values-{name}": npy_bytes(value) for name, value in values.items()}
    yield from ((f"npy-{name}", written(data)) for name, data in raw.items())


def zipped(
    data: bytes,
    name: bytes = b"x.npy",
    method: int = 0,
    flags: int = 0,
    size: int | None = None,
    packed: int | None = None,
    crc: int | None = None,
) -> bytes:
    """A zip archive of one member that may say anything of itself."""
    size, packed = len(data) if size is None else size, len(data) if packed is None else packed
    crc = zlib.crc32(data) if crc is None else crc
    size, packed = min(size, 2**32 - 1), min(packed, 2**32 - 1)
    about = struct.pack("<HHHHHIIIHH", 20, flags, method, 0, 33, crc, packed, size, len(name), 0)
    local = b"PK\3\4" + about + name + data
    central = b"PK\1\2" + struct.pack("<H", 20) + about + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    return local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def deflated(data: bytes, repeated: bytes = b"", times: int = 0, raw: bool = True) -> bytes:
    """Deflated data, and after it ``repeated`` many times: a bomb without the work of packing it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15 if raw else 31)
    start = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(repeated) + packer.flush(zlib.Z_FULL_FLUSH) if times else b""
    return start + block * times + packer.flush()


def bomb(shape: str, body: int, size: int | None = None) -> bytes:
    """An archive of a few MB whose array of zeros has ``body`` MiB."""
    header = headed(told("'|u1'", shape=shape), b"")
    packed = deflated(header, bytes(2**20), body)
    return zipped(packed, method=8, size=len(header) + body * 2**20 if size is None else size, crc=0)


def npz() -> Iterator[File]:
    """.npz archives: each broken .npy as a member, wrong sizes, encryption, odd compression, bombs."""
    for name, make in npy():
        yield name.replace("npy-", "npz-of-", 1), partial(_wrapped, make)
    good = npy_bytes(GOOD)
    whole = zipped(good)
    lzma, bzip = (_packed(good, method) for method in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2))
    raw = {
        "nothing": b"",
        "no-member": b"PK\5\6" + bytes(18),
        "cut": whole[:-30],
        "half": whole[:400],
        "head": whole[:3],
        "encrypted": zipped(good, flags=1),
        "strong-encryption": zipped(good, flags=0x41),
        "patched": zipped(good, flags=0x20),
        "utf-8-flag": zipped(good, name=b"\xff\xfe.npy", flags=0x800),
        "crc": zipped(good, crc=1),
        "other": zipped(good, b"readme.txt"),
        "no-name": zipped(good, b".npy"),
        "up": zipped(good, b"../../x.npy"),
        "root": zipped(good, b"/etc/x.npy"),
        "control": zipped(good, b"\x1b[31mred\n\0x.npy"),
        "markup": zipped(good, b"[red]x[/blue].npy"),
        "long-name": zipped(good, b"n" * 60_000 + b".npy"),
        "lzma": lzma,
        "bzip2": bzip,
        "lzma-damaged": lzma[:90] + b"\xff" * 20 + lzma[110:],
        "bzip2-damaged": bzip[:90] + b"\xff" * 20 + bzip[110:],
        "deflate-damaged": zipped(b"\xff" * 300, method=8, size=900),
        "size-larger": zipped(good, size=10**9),
        "size-smaller": zipped(good, size=50),
        "packed-larger": zipped(good, packed=10**9),
        "packed-smaller": zipped(good, packed=50),
        "size-none": zipped(good, size=0),
        "huge": zipped(good, size=2**40, packed=2**40),
        "offset": whole[:-6] + b"\xff\xff\xff\x7f" + whole[-2:],
        "comment": whole[:-2] + b"\xff\xff",
        "bomb": bomb(f"({4096 * 2**10}, 1024)", 4096, 2**32 - 2),
        "bomb-images": bomb("(4096, 1024, 1024)", 4096, 2**32 - 2),
        "bomb-short": bomb("(60, 3)", 2048, 180),
        "bomb-header": zipped(
            deflated(headed("", b"", (2, 0), 2**32 - 1), b" " * 2**20, 3000), method=8, size=2**32 - 2, crc=0
        ),
        "many": _many(20_000),
        "twice": _twice(good),
    }
    raw |= {f"method-{n}": zipped(good, method=n) for n in (1, 6, 9, 12, 14, 93, 95, 98, 99, 65535)}
    yield from ((f"npz-{name}", written(data)) for name, data in raw.items())


def _wrapped(make: Callable[[Path], object], path: Path) -> None:
    make(path)
    inner = path.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", inner)


def _packed(data: bytes, method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("x.npy", data)
    return file.getvalue()


def _many(count: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i in range(count):
            archive.writestr(f"{i}.npy", b"\x93NUMPY")
    return file.getvalue()


def _twice(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", data)
        archive.writestr("y.npy", data[:-9])
    return file.getvalue().replace(b"y.npy", b"x.npy")
