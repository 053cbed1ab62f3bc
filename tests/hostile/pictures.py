"""Broken and hostile pictures, parquet files and folders of datasets."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from .arrays import GOOD, File, deflated, written

PIXELS = np.random.default_rng(1).integers(0, 255, (8, 8), np.uint8)


def picture(kind: str = "PNG", size: tuple[int, int] = (8, 8), mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).resize(size).convert(mode).save(file, kind)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, data: bytes = b"", depth: int = 8, colour: int = 0, *others: bytes) -> bytes:
    """A PNG that may say anything of its size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(others) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zlib_bomb(mebibytes: int) -> bytes:
    return b"\x78\x9c" + deflated(b"", bytes(2**20), mebibytes)


def images() -> Iterator[File]:
    """Pictures cut short, with a huge size, bombs, and files of another kind under their name."""
    good, jpeg = picture(), picture("JPEG")
    raw = {
        "nothing": b"",
        "magic": good[:8],
        "cut": good[:-20],
        "half": good[: len(good) // 2],
        "jpeg-cut": jpeg[:-40],
        "jpeg-half": jpeg[: len(jpeg) // 2],
        "jpeg-size": jpeg.replace(b"\xff\xc0\x00\x0b\x08\0\x08\0\x08", b"\xff\xc0\x00\x0b\x08\xff\xff\xff\xff"),
        "crc": good[:40] + b"\xff\xff" + good[42:],
        "huge": png(2**31 - 1, 2**31 - 1),
        "large": png(60_000, 60_000),
        "below-the-limit": png(13_000, 13_000),
        "wide": png(2**31 - 1, 1),
        "zero": png(0, 0),
        "wide-zero": png(8, 0),
        "bomb": png(60_000, 60_000, zlib_bomb(3000)),
        "bomb-13000": png(13_000, 13_000, zlib_bomb(170)),
        "more-data": png(8, 8, zlib_bomb(2000)),
        "text-bomb": png(8, 8, zlib.compress(bytes(72)), 8, 0, chunk(b"zTXt", b"k\0\0" + zlib_bomb(1000))),
        "itxt-bomb": png(8, 8, zlib.compress(bytes(72)), 8, 0, chunk(b"iTXt", b"k\0\1\0\0\0" + zlib_bomb(1000))),
        "icc-bomb": png(8, 8, zlib.compress(bytes(72)), 8, 0, chunk(b"iCCP", b"k\0\0" + zlib_bomb(1000))),
        "depth": png(8, 8, b"", 3),
        "colour": png(8, 8, b"", 8, 99),
        "no-palette": png(8, 8, zlib.compress(bytes(72)), 8, 3),
        "no-data": png(8, 8),
        "chunk-length": good[:33] + b"\xff\xff\xff\xff" + good[37:],
        "many-chunks": png(8, 8, zlib.compress(bytes(72)), 8, 0, *[chunk(b"tEXt", b"k\0v")] * 50_000),
        "text": b"no picture",
        "html": b"<svg><script>alert(1)</script></svg>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n%%EndComments\n(ran) (w) file\n",
        "gif": picture("GIF"),
        "gif-cut": picture("GIF")[:20],
        "gif-huge": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;",
        "bmp-huge": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 2**30, 2**30, 1, 8, 0, 0, 0, 0, 0, 0),
        "bmp-negative": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, -8, -8, 1, 8, 0, 0, 0, 0, 0, 0)
        + bytes(64),
        "tiff-cut": picture("TIFF")[:60],
        "tiff-loop": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "tiff-entries": b"II*\0\x08\0\0\0\xff\xff" + bytes(90),
        "webp-cut": picture("WEBP")[:40],
        "ppm-huge": b"P5 999999 999999 255\n",
        "ppm-digits": b"P5 " + b"9" * 5000 + b" 8 255\n",
        "ppm-zero": b"P5 8 8 0\n" + bytes(64),
        "ppm-words": b"P5 so it is\n",
        "pgm-comment": b"P5 #" + b"x" * 3_000_000,
        "other-size": picture(size=(9, 9)),
        "rgba": picture(mode="RGBA"),
        "sixteen": png(8, 8, zlib.compress(bytes(8 * 17)), 16),
        "float-tiff": _float_tiff(),
        "exif": _exif(),
        "frames": _frames(),
    }
    yield from ((f"picture-{name}", written(data)) for name, data in raw.items())


def _float_tiff() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS.astype(np.float32)).save(file, "TIFF")
    return file.getvalue()


def _exif() -> bytes:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 4000)
    return file.getvalue()


def _frames() -> bytes:
    file = io.BytesIO()
    frames = [Image.fromarray(np.roll(PIXELS, i)) for i in range(300)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def parquet_bytes(columns: dict[str, object], **how: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, **how)
    return file.getvalue()


def parquet() -> Iterator[File]:
    """Parquet files: damaged, of nothing, of nested or odd types, of far more rows than bytes."""
    good = parquet_bytes({"a": GOOD[:, 0], "b": GOOD[:, 1], "c": GOOD[:, 2]})
    types = {
        "lists": [[1.0], [2.0]] * 30,
        "structs": [{"x": 1.0}] * 60,
        "words": ["so", "it"] * 30,
        "bytes": [b"\0\xff"] * 60,
        "nulls": [None] * 60,
        "some-nulls": [1.0, None] * 30,
        "large": [2**62 + i for i in range(60)],
        "dates": pa.array(range(60), pa.timestamp("s")),
        "dictionary": pa.array(["a", "b"] * 30).dictionary_encode(),
        "halves": pa.array(GOOD[:, 0].astype(np.float16)),
        "decimals": pa.array([10**30 + i for i in range(60)], pa.decimal128(38, 2)),
        "infinite": [float("inf")] * 60,
        "deep": pa.array([None] * 60, _deep(60)),
        "empty-words": [""] * 60,
        "map": pa.array([[("a", 1)]] * 60, pa.map_(pa.string(), pa.int64())),
    }
    raw = {
        "nothing": b"",
        "magic": good[:4],
        "cut": good[:-5],
        "half": good[: len(good) // 2],
        "no-head": good[9:],
        "footer": good[:-8] + b"\xff\xff\xff\x7f" + good[-4:],
        "footer-zero": good[:-8] + bytes(4) + good[-4:],
        "damaged": good[:60] + b"\xff" * 90 + good[150:],
        "footer-damaged": good[:-90] + b"\xff" * 40 + good[-50:],
        "encrypted": good[:-4] + b"PARE",
        "text": b"a,b\n1,2\n",
        "no-rows": parquet_bytes({"a": pa.array([], pa.float64())}),
        "one-row": parquet_bytes({"a": [1.0]}),
        "twice": _twice(),
        "bomb": parquet_bytes({"a": np.zeros(300_000_000, np.int8)}),
        "wide": parquet_bytes({f"c{i}": [1.0, 2.0] for i in range(3000)}),
        "no-columns": _no_columns(),
    }
    raw |= {
        f"names-{i}": parquet_bytes({name: GOOD[:, 0], "b": GOOD[:, 1]})
        for i, name in enumerate(("", "[red]", "<script>", "a\nb", "\x1b[31m", "n" * 50_000, "$x", "\0"))
    }
    raw |= {f"of-{name}": parquet_bytes({"a": column, "b": GOOD[:, 1]}) for name, column in types.items()}
    yield from ((f"parquet-{name}", written(data)) for name, data in raw.items())


def _deep(levels: int) -> pa.DataType:
    kind: pa.DataType = pa.float64()
    for _ in range(levels):
        kind = pa.list_(kind)
    return kind


def _twice() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(GOOD[:, 0]), pa.array(GOOD[:, 1])], names=["a", "a"]), file)
    return file.getvalue()


def _no_columns() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({}), file)
    return file.getvalue()


def in_folder(make: Callable[[Path], object], name: str) -> Callable[[Path], object]:
    """A folder of twelve good pictures (or texts) and this."""

    def fill(path: Path) -> None:
        path.mkdir()
        text = name.endswith((".txt", ".gz"))
        for i in range(12):
            if text:
                (path / f"{i}.txt").write_text("".join(f"so it is {i} {j}\n" for j in range(20)))
            else:
                Image.fromarray(np.roll(PIXELS, i, 0)).save(path / f"{i}.png")
        make(path / name)

    return fill


def datasets() -> Iterator[File]:
    """Folders that look like a saved dataset."""
    for name in ("dataset_info.json", "state.json", "dataset_dict.json"):
        for what, data in {
            "nothing": b"",
            "deep": b"[" * 100_000,
            "words": b"so",
            "mapping": b"{}",
            "splits": b'{"splits": ["../../etc", "\\u0000"]}',
            "files": b'{"_data_files": [{"filename": "/dev/zero"}]}',
            "bytes": b"\xff\xfe",
        }.items():
            yield (
                f"dataset-{name}-{what}",
                lambda path, n=name, d=data: (path.mkdir(), (path / n).write_bytes(d), (path / "state.json").touch()),
            )
    for what, data in {
        "nothing": b"",
        "damaged": b"PAR1" + b"\xff" * 90 + b"PAR1",
        "words": parquet_bytes({"a": [1, 2, 3]}),
    }.items():
        yield f"dataset-parquet-{what}", lambda path, d=data: (path.mkdir(), (path / "train.parquet").write_bytes(d))
