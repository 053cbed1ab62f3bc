"""Broken and hostile text: sentences, tables, YAML and JSON, packed or plain."""

from __future__ import annotations

import gzip
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from .arrays import File, deflated, written

LINES = b"".join(b"the cat number %d sat on the mat\n" % i for i in range(60))
ROWS = b"a,b,c\n" + b"".join(b"%d,%d,%d.5\n" % (i, i * i, i % 7) for i in range(60))


def gzip_bomb(block: bytes, mebibytes: int, start: bytes = b"") -> bytes:
    """A .gz file of a few MB that unpacks to many more."""
    block = (block * (2**20 // len(block) + 1))[: 2**20]
    return deflated(start, block, mebibytes, raw=False)


def bytes_of_text() -> dict[str, bytes]:
    """What no text file should hold, whatever the text is for."""
    return {
        "nothing": b"",
        "newlines": b"\n" * 5000,
        "nul": b"\0" * 5000,
        "one-nul": LINES + b"\0\n" + LINES,
        "latin": b"caf\xe9 au lait\n" * 60,
        "bad-utf-8": LINES + b"\xff\xfe\n",
        "utf-16": LINES.decode().encode("utf-16"),
        "utf-32": LINES.decode().encode("utf-32"),
        "surrogate": b"a \xed\xa0\x80 b\n" * 40,
        "overlong": b"a \xc0\xaf b\n" * 40,
        "one-line": LINES.replace(b"\n", b" ") * 1500,
        "long-word": b"a" * 3_000_000 + b"\n" + LINES,
        "control": b"\x1b[2J\x07\x08 a %d\r\n" * 40,
        "random": bytes(hash((i, 7)) % 256 for i in range(20_000)),
        "spaces": b" \t \x0b\x0c\n" * 2000,
        "bom": b"\xef\xbb\xbf" * 60,
        "direction": "\u202ea \u2066b\n".encode() * 40,
        "combining": b"a" + "\u0301".encode() * 100_000 + b"\n" + LINES,
        "binary": b"\x7fELF\2\1\1" + bytes(200),
        "gzip": gzip.compress(LINES),
        "half-gzip": gzip.compress(LINES * 9)[:60],
        "one": b"a",
        "same": b"a\n" * 100,
        "wide-spaces": "\u3000\u2028\u2029\x85\n".encode() * 100,
    }


def txt() -> Iterator[File]:
    """Text that is none, or that is too long."""
    yield from ((f"txt-{name}", written(data)) for name, data in bytes_of_text().items())
    yield "txt-special-tokens", written(b"<pad> <bos> <eos> <unk>\n" * 50)
    yield "txt-all-different", written(b"".join(b"w%d\n" % i for i in range(100_000)))


def gz() -> Iterator[File]:
    """Packed text: damaged, no gzip, nested, endless."""
    packed = gzip.compress(LINES)
    yield from ((f"gz-of-{name}", written(gzip.compress(data))) for name, data in bytes_of_text().items())
    raw = {
        "plain": LINES,
        "cut": packed[:-9],
        "half": packed[: len(packed) // 2],
        "crc": packed[:-8] + b"\1\2\3\4" + packed[-4:],
        "rubbish": packed + b"rubbish",
        "size": packed[:-4] + b"\xff" * 4,
        "method": packed[:2] + b"\x07" + packed[3:],
        "flags": packed[:3] + b"\xff" + packed[4:],
        "damaged": packed[:40] + b"\xff" * 9 + packed[49:],
        "magic": packed[:2],
        "bomb-of-one-line": gzip_bomb(b"a", 6000, LINES),
        "bomb-of-lines": gzip_bomb(b"the cat sat\n", 6000, LINES),
        "bomb-of-blanks": gzip_bomb(b"\n", 3000),
        "bomb-of-spaces": gzip_bomb(b" ", 6000),
        "nested": gzip.compress(gzip_bomb(b"a", 2000)),
        "many-members": gzip.compress(b"") * 200_000,
        "extra-field": b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff" + bytes(90),
        "long-name": b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 5_000_000,
        "bomb-of-rows": gzip_bomb(b"1,2,3\n", 6000, b"a,b,c\n"),
    }
    yield from ((f"gz-{name}", written(data)) for name, data in raw.items())


def csv() -> Iterator[File]:
    """Tables as text: ragged, unclosed, far too wide, not of numbers."""
    names = b",".join(b"c%d" % i for i in range(1_000_000))
    raw = {
        "ragged": ROWS + b"1,2\n",
        "ragged-more": ROWS + b"1,2,3,4\n",
        "unclosed": ROWS + b'1,"2,3\n' + ROWS * 90,
        "unclosed-name": b'a,"b,c\n' + ROWS * 90,
        "quotes": b'"""""""\n' * 40,
        "after-quote": ROWS + b'"1"x,2,3\n',
        "giant-field": ROWS + b"1," + b"9" * 900_000 + b",3\n",
        "giant-name": b"n" * 500_000 + b",b\n1,2\n",
        "giant-quoted": ROWS + b'1,"' + b"x" * 900_000 + b'",3\n',
        "wide-names": names + b"\n",
        "wide": names + b"\n" + b",".join([b"1"] * 1_000_000) + b"\n",
        "wide-numbers": (b",".join([b"1"] * 300_000) + b"\n") * 12,
        "commas": b"," * 200_000 + b"\n",
        "only-names": b"a,b,c\n",
        "twice": b"a,a,a\n" + ROWS[6:],
        "no-names": b",,\n" + ROWS[6:],
        "words": b"a,b\n" + b"x,y\n" * 40,
        "infinite": ROWS + b"inf,2,3\n",
        "minus-infinite": ROWS + b"-inf,2,3\n",
        "nan": ROWS + b"nan,2,3\n",
        "overflow": ROWS + b"1e999,2,3\n",
        "float32": ROWS + b"1e39,2,3\n",
        "digits": ROWS + b"9" * 100_000 + b",2,3\n",
        "hex": ROWS + b"0x10,2,3\n",
        "underscore": ROWS + b"1_000,2,3\n",
        "arabic": ROWS + "١٢,2,3\n".encode(),
        "formula": ROWS + b"=1+1,2,3\n",
        "missing": ROWS + b",2,3\n",
        "constant": b"a,b\n" + b"1,2\n" * 40,
        "one-column": b"a\n" + b"".join(b"%d\n" % i for i in range(40)),
        "markup": b"[red]a,<script>alert(1)</script>,$\\frac$\n" + ROWS[6:],
        "control-names": b"\x1b[31ma,\x07b,c\x08\n" + ROWS[6:],
        "carriage": ROWS.replace(b"\n", b"\r"),
        "line-in-name": b'"a\nb",b,c\n' + ROWS[6:],
        "slash-names": b"../a,/etc/b,c\n" + ROWS[6:],
        "dollar-names": b"$x,{y},$z$\n" + ROWS[6:],
        "long-names": b"n" * 30_000 + b"," + b"m" * 30_000 + b",c\n" + ROWS[6:],
        "semicolons": ROWS.replace(b",", b";"),
        "rows-then-words": ROWS + b"so,it,is\n",
        "dates": b"a,b\n" + b"2001-01-01,2\n" * 40,
    }
    raw |= bytes_of_text()
    yield from ((f"csv-{name}", written(data)) for name, data in raw.items())


def trees() -> dict[str, str]:
    """Texts that are JSON and YAML alike: deep, huge, ambiguous, of the wrong type."""
    deep = 100_000
    return {
        "nothing": "",
        "null": "null",
        "number": "7",
        "string": '"so"',
        "list": "[]",
        "mapping": "{}",
        "true": "true",
        "lists": "[" * deep,
        "closed-lists": "[" * deep + "]" * deep,
        "mappings": '{"a":' * deep + "1" + "}" * deep,
        "lists-900": "[" * 900 + "]" * 900,
        "lists-300": "[" * 300 + "]" * 300,
        "mappings-500": '{"a": ' * 500 + "1" + "}" * 500,
        "digits": "9" * 5000,
        "many-digits": '{"n": ' + "9" * 900_000 + "}",
        "large-list": "[" + "1," * 2_000_000 + "1]",
        "nan": '{"n": NaN, "format": NaN}',
        "infinity": "[Infinity, -Infinity]",
        "overflow": '{"n": 1e999}',
        "twice": '{"format": 1, "format": 2, "name": 1, "name": 2}',
        "unclosed": '{"a": [1, 2',
        "trailing": '{"a": 1} {"b": 2}',
        "comma": "[1, 2, ]",
        "surrogate": '{"\\ud800": "\\udfff"}',
        "nul": '{"a\\u0000": "\\u0000"}',
        "bell": '{"a": "\\u0007\\u001b[31m"}',
        "long-string": '"' + "x" * 5_000_000 + '"',
        "long-key": '{"' + "k" * 500_000 + '": 1}',
        "markup": '{"[red]": "[/blue]", "<script>": "</script>"}',
        "keys": json.dumps({f"k{i}": i for i in range(100_000)}),
        "wrong": '{"format": 1, "n": "x", "kind": [], "estimates": [], "groups": 3, "settings": "s", "verdict": 1, "arms": 5, "step": "x"}',
        "wrong-2": '{"format": 1, "n": -1, "kind": "x", "estimates": {"rate": {"value": "x", "error": [], "n": {}, "method": 3}}, "groups": {"names": 5, "rate": {}}, "settings": {}, "verdict": {}, "arms": [5], "finished": "x"}',
        "wrong-3": '{"format": 1, "arms": [{"name": ["x"], "runs": {"a": 1}, "seconds": "x", "failed": []}, null], "left_out": 5, "budget": []}',
        "wrong-4": '{"format": 1, "arms": [{"name": "none", "runs": ["../../..", "/etc", "\\u0000", 5]}], "step": -5, "seconds": -1}',
        "wrong-5": '{"format": 1, "arms": [{"name": "[red]<script>", "runs": [], "failed": {"[/red]": "[/blue]\\n<script>"}}], "left_out": {"[red]": "[/x]"}}',
        "huge-step": '{"step": 1000000000000000000000000000000, "finished": true}',
        "float-step": '{"step": 1.5, "finished": 1}',
    }


RAW = {
    "bad-utf-8": b'{"a": "\xff\xfe"}',
    "utf-16": '{"a": 1}'.encode("utf-16"),
    "bom": b'\xef\xbb\xbf{"a": 1}',
    "bytes": bytes(range(256)),
    "zeros": bytes(5000),
    "pickle": b"\x80\x04\x95" + bytes(40),
}


def _large(path: Path) -> None:
    """A file of far more than such files have, which takes no room on the disk."""
    path.touch()
    os.truncate(path, 2**33)


def json_files() -> Iterator[File]:
    """JSON in which something is wrong."""
    yield from ((f"json-{name}", written(text.encode())) for name, text in trees().items())
    yield from ((f"json-{name}", written(data)) for name, data in RAW.items())
    yield "json-large", _large


def yaml_files() -> Iterator[File]:
    """YAML in which something is wrong: besides what JSON has, aliases, tags and what plain words turn into."""
    laughs = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n"
        for i in range(1, 12)
    )
    merges = "m0: &m0 {x: 1}\n" + "".join(
        f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}\n" for i in range(1, 12)
    )
    texts = {
        "laughs": laughs,
        "laughs-as-data": laughs + "data: *a11\n",
        "merges": merges,
        "cycle": "&a [*a]",
        "cycle-in-data": "data: &a {name: *a}",
        "unknown-alias": "a: *b",
        "python": "!!python/object/apply:os.mkdir [ran]",
        "python-name": "data: !!python/name:os.system",
        "bool-tag": "data: !!bool so",
        "int-tag": "data: !!int so",
        "float-tag": "data: !!float so",
        "time-tag": "data: !!timestamp so",
        "null-tag": "data: !!null so",
        "binary-tag": "data: !!binary so-",
        "set-tag": "data: !!set [1]",
        "omap-tag": "data: !!omap {a: 1}",
        "own-tag": "data: !so 1",
        "date": "data: 2001-99-99",
        "sixties": "data: " + "1:" * 400_000 + "1",
        "hex": "data: 0x" + "f" * 900_000,
        "binary": "data: 0b" + "1" * 900_000,
        "octal": "data: 0" + "7" * 900_000,
        "list-key": "? [a]\n: 1",
        "mapping-key": "? {a: 1}\n: 1",
        "documents": "---\n" * 50_000,
        "two-documents": "a: 1\n---\nb: 2\n",
        "tab": "a:\n\tb: 1",
        "dashes": "- " * 20_000 + "a",
        "indent": "".join(" " * i + "a:\n" for i in range(1500)),
        "long-line": "a: " + "x " * 2_000_000,
        "block": "a: |\n" + "  so it is\n" * 300_000,
        "comment": "# so\n" * 500_000,
        "percent": "%YAML 9.9\n---\na: 1",
        "anchors": "".join(f"a{i}: &n{i} 1\n" for i in range(50_000)),
        "quotes": "data: '" + "''" * 500_000,
        "keys-without-end": "a: b: c: d",
        "infinite": "data: .inf\ntraining: .nan",
    }
    yield from ((f"yaml-{name}", written(text.encode())) for name, text in (trees() | texts).items())
    yield from ((f"yaml-{name}", written(data)) for name, data in RAW.items())
    yield "yaml-large", _large


def metrics() -> Iterator[File]:
    """``metrics.csv`` in which something is wrong."""
    head = b"step,split,loss,elbo,rate,rate/z0\n"
    raw = {
        "only-names": head,
        "no-names": b"1,train,2,3\n" * 9,
        "ragged": head + b"1,train\n2,held_out,1,2,3,4,5,6,7\n",
        "words": head + b"so,it,is,a,b,c\n" * 9,
        "giant-field": head + b"1,train," + b"x" * 900_000 + b"\n",
        "unclosed": head + b'1,"train,2\n' * 9000,
        "nan": head + b"1,train,nan,inf,-inf,1e999\n" * 3,
        "wide": b"step,split,"
        + b",".join(b"rate/z%d" % i for i in range(200_000))
        + b"\n1,held_out,"
        + b"1," * 200_000
        + b"\n",
        "huge-steps": head + b"1e300,held_out,1,2,3,4\n2e300,held_out,1,2,3,4\n",
        "markup": b"step,split,rate/<script>alert(1)</script>,rate/[red],rate/$\\frac$\n1,held_out,1,2,3\n2,held_out,1,2,3\n",
        "large-values": head + b"1,held_out,1e308,1e308,1e308,1e308\n2,held_out,-1e308,-1e308,1e-308,1e308\n",
        "negative": head + b"-5,held_out,1,2,3,4\n-9,held_out,1,2,3,4\n",
        "long": head + b"1,train,1,2,3,4\n" * 1_000_000,
        "same-step": head + b"1,held_out,1,2,3,4\n" * 50,
    }
    raw |= bytes_of_text()
    yield from ((f"metrics-{name}", written(data)) for name, data in raw.items())


def length(size: int) -> bytes:
    return struct.pack("<Q", size)
