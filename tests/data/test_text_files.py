"""Text as people have it: encodings, line ends, packing, spellings, invisible characters, scripts, gigantic lines."""

import bz2
import codecs
import gzip
import io
import lzma
import tracemalloc
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from buttress.data.reading import lines, progress
from buttress.data.reading.cells import Fields
from buttress.data.reading.collected import collect
from buttress.data.reading.corpus import of_files
from buttress.data.reading.split import Division
from buttress.data.reading.tidy import Tidy
from buttress.data.reading.tokens import decode
from buttress.data.sentences import Sentences
from buttress.data.source import detect

pytestmark = pytest.mark.usefixtures("own_cache")
TEXT = [
    f"the {a} cat sat near the größe {b}"
    for a in ["red", "blue", "old", "new", "big", "fat", "sly", "wet"]
    for b in "abcdefghij"
]
ENDS = ["\n", "\r\n", "\r", "\u2028", "\u2029", "\x85"]
MARKED = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}


def sentences(path, **settings):
    """All examples as text, in the order of the file, and the notes."""
    splits = Sentences(str(path), **{"split": "seed", **settings}).open()
    found = []
    for side in (splits.train, splits.held_out):
        texts = decode(splits.spec, side.batch(torch.arange(len(side))))
        found += [(int(side.where(i).split()[-1]), text) for i, text in enumerate(texts)]
    return [text for _, text in sorted(found)], " | ".join(splits.notes)


def written(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("encoding", ["utf-8", *MARKED])
def test_every_line_end_in_every_marked_encoding(tmp_path, encoding, end):
    path = written(tmp_path / "a.txt", end.join(TEXT).encode(encoding))
    found, notes = sentences(path)
    assert found == TEXT
    assert ("by its byte order mark" in notes) == (encoding in ("utf-16", "utf-32"))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_wide_encodings_with_and_without_a_mark(tmp_path, encoding, mark, named):
    marks = {name.lower().replace("bom_utf", "utf-").replace("_", "-"): getattr(codecs, name) for name in dir(codecs)}
    path = written(tmp_path / "a.txt", marks[encoding] * mark + "\r\n".join(TEXT).encode(encoding))
    if "32" in encoding and not mark and not named:
        with pytest.raises(ValueError, match=r"a\.txt, line 1: .*holds NUL bytes.*try encoding='utf-16-le'"):
            sentences(path)
    else:
        found, notes = sentences(path, **({"encoding": encoding} if named else {}))
        assert found == TEXT and (encoding in notes) == (not named)


def test_utf_16_that_is_cut_short_is_refused(tmp_path):
    path = written(tmp_path / "a.txt", "\n".join(TEXT).encode("utf-16")[:-1])
    with pytest.raises(ValueError, match=r"a\.txt, line 80: not text in the encoding utf-16-le .*cut short"):
        sentences(path)


@pytest.mark.parametrize(("encoding", "advised"), [("latin-1", "latin-1"), ("cp1252", "cp1252")])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_other_encodings_are_refused_by_line_and_read_when_named(tmp_path, encoding, advised, end, monkeypatch):
    monkeypatch.setattr(lines, "PIECE", 64)
    quoted = "so it is \u201cthere\u201d" if encoding == "cp1252" else "so größer"
    text = [line.replace("größe", "size") for line in TEXT]
    path = written(tmp_path / "a.txt", end.join([*text[:40], quoted, *text[40:]]).encode(encoding))
    with pytest.raises(ValueError, match=rf"a\.txt, line 41: not text in the encoding utf-8 .*encoding='{advised}'"):
        sentences(path)
    assert sentences(path, encoding=encoding)[0][40] == quoted


def test_utf_8_read_as_latin_1_is_noted(tmp_path):
    path = written(tmp_path / "a.txt", "\n".join(TEXT).encode())
    found, notes = sentences(path, encoding="latin-1")
    assert "grÃ¶Ã" in found[0] and "though it is valid utf-8" in notes
    assert (
        "valid utf-8"
        not in sentences(written(tmp_path / "b.txt", "\n".join(TEXT).encode("latin-1")), encoding="latin-1")[1]
    )


@pytest.mark.parametrize("encoding", ["rot13", "base64", "no such", "utf-99", ""])
def test_what_is_no_encoding_is_refused_at_once(encoding):
    with pytest.raises(ValueError, match=r"encoding is .*Wanted one of text, such as utf-8"):
        Sentences("anywhere", encoding=encoding)


@pytest.mark.parametrize(
    ("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), ("", bytes)]
)
@pytest.mark.parametrize("name", ["a.txt", "A.TXT", "lines"])
def test_packed_files_whatever_they_are_called(tmp_path, name, ending, pack):
    for full in {name + ending, name + ending.upper()}:
        path = written(tmp_path / full, pack("\n".join(TEXT).encode()))
        if name + ending != "lines":
            assert type(detect(str(path))) is Sentences
        assert sentences(path)[0] == TEXT
        with_wrong_name = written(tmp_path / "other.txt", path.read_bytes())
        assert sentences(with_wrong_name)[0] == TEXT
        path.unlink()


@pytest.mark.parametrize(
    ("ending", "pack", "kind"),
    [(".bz2", bz2.compress, "bzip2"), (".xz", lzma.compress, "xz"), (".gz", gzip.compress, "gzip")],
)
@pytest.mark.parametrize("cut", [slice(0, 100), slice(0, 5), slice(10, None)])
def test_broken_packed_files_are_refused(tmp_path, ending, pack, kind, cut):
    path = written(tmp_path / f"a.txt{ending}", pack("\n".join(TEXT).encode())[cut])
    with pytest.raises(ValueError, match=rf"a\.txt\{ending}: not readable as {kind}"):
        sentences(path)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_pieces_may_break_anywhere(tmp_path, monkeypatch, piece, end):
    monkeypatch.setattr(lines, "PIECE", piece)
    content = ["", "so it is 😀", "", "größe", "x"]
    for encoding in ("utf-8", "utf-16"):
        for last in ("", end):
            path = written(tmp_path / "a.txt", (end.join(content) + last).encode(encoding))
            assert list(lines.read(path)) == list(enumerate(content, 1))


def test_sentences_keep_their_numbers_and_sides_whatever_is_read_at_a_time(tmp_path, monkeypatch):
    path = written(tmp_path / "a.txt", "\n".join(["", *TEXT, ""]).encode())
    monkeypatch.setattr(lines, "PIECE", 100)
    assert sentences(path)[0] == TEXT


@given(st.text(st.sampled_from('ab\r\n,"é'), min_size=1))
def test_lines_with_ends_are_those_that_python_reads(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("lines") / "a.csv"
    path.write_bytes(text.encode())
    wanted = list(io.StringIO(text, newline=""))
    assert list(lines.read(path, tidy=False)) == list(enumerate(wanted, 1))


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_one_word_in_two_spellings_is_one_word(tmp_path, form):
    text = [f"the {a} café and größe of {b} \u1e69" for a in ["red", "blue", "old", "new", "big"] for b in "abcdef"]
    both = [unicodedata.normalize(f, line) for line in text for f in ("NFC", form)]
    found, notes = sentences(written(tmp_path / "a.txt", "\n".join(both).encode()))
    assert found == [line for line in text for _ in range(2)]
    assert ("brought to the normal form NFC" in notes and "30 sentences" in notes) == (form in ("NFD", "NFKD"))
    kept, notes = sentences(tmp_path / "a.txt", normalize="none")
    assert kept == both
    assert ("in another spelling too, such as" in notes) == (form in ("NFD", "NFKD"))


@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
def test_compatibility_spellings_are_noted_and_unified_on_request(tmp_path, tokenizer):
    text = [f"{word} {i % 7} so it is" for i in range(40) for word in ("fine", "ﬁne", "ｆｉｎｅ")]
    path = written(tmp_path / "a.txt", "\n".join(text).encode())
    found, notes = sentences(path, tokenizer=tokenizer)
    assert found == text and "try --data.normalize nfkc" in notes
    found, notes = sentences(path, tokenizer=tokenizer, normalize="nfkc")
    assert set(found[0::3]) == set(found[1::3]) == set(found[2::3]) and "80 sentences" in notes


@pytest.mark.parametrize("mark", ["\u200b", "\ufeff", "\u00ad", "\u2060", "\u200e", "\u200f", "\u202b", "\u2066"])
def test_words_that_look_the_same_are_the_same(tmp_path, mark):
    text = [f"the {a} cat sat near {b}" for a in ["red", "blue", "old", "new", "big"] for b in "abcdefgh"]
    marked = [line.replace("cat ", f"cat{mark} ") for line in text]
    path = written(tmp_path / "a.txt", "\n".join([*text, *marked, mark]).encode())
    found, notes = sentences(path)
    assert found == text * 2
    assert "removed invisible characters" in notes and "from 41 sentences" in notes and "1 blank lines" in notes
    assert sentences(path, normalize="none")[0] == [*text, *marked, mark]


EMOJI = ["👩‍👩‍👧‍👦", "🇩🇪", "👍🏽", "❤️", "1️⃣", "😀", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"]
SCRIPTS = {
    "emoji": EMOJI,
    "hebrew": ["שלום", "עולם", "זה", "הוא", "כאן"],
    "arabic": ["مرحبا", "بالعالم", "هذا", "هنا", "كتاب"],
    "persian": ["می\u200cخواهم", "کتاب", "خانه", "این"],
    "hindi": ["नमस्ते", "दुनिया", "क्षेत्र", "यह", "है"],
    "thai": ["สวัสดี", "ชาวโลก", "นี่", "คือ"],
    "old": ["𐍈𐌰𐌿", "𝔘𝔫𝔦", "𠀀𠀁"],
}


@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_comes_back_as_it_was(tmp_path, script, tokenizer):
    words = SCRIPTS[script]
    text = [" ".join(words[(i * k + k) % len(words)] for k in range(1, 3 + i % 5)) for i in range(200)]
    found, notes = sentences(written(tmp_path / "a.txt", "\n".join(text).encode()), tokenizer=tokenizer)
    assert found == text
    assert "; 0.00% of held-out tokens" in notes and "invisible" not in notes


def test_spaces_of_every_kind_separate_words_and_make_blank_lines(tmp_path):
    text = [line.replace(" ", "\t \u00a0\u3000", 1) for line in TEXT]
    path = written(tmp_path / "a.txt", "\n".join([*text, "", " ", "\t", "\u00a0", "\u3000 \u2003"]).encode())
    found, notes = sentences(path)
    assert found == TEXT and "5 blank lines were left out" in notes


@pytest.mark.parametrize("long", ["so it is ", "größe "])
def test_one_gigantic_line_is_set_aside_or_refused(tmp_path, monkeypatch, long):
    monkeypatch.setattr(lines, "LONGEST", 5000)
    monkeypatch.setattr(lines, "PIECE", 1000)
    path = written(tmp_path / "a.txt", "\n".join([*TEXT[:3], long * 30_000, *TEXT[3:]]).encode())
    found, notes = sentences(path)
    assert found == TEXT and "set aside 1 lines of more than 5000 characters: " in notes and "line 4; try" in notes
    with pytest.raises(ValueError, match=r"0 examples and 1 lines of more than 5000 characters; wanted one sentence a"):
        sentences(written(tmp_path / "b.txt", (long * 30_000).encode()))
    with pytest.raises(ValueError, match=r"1 example, too few and very long: .*wanted one sentence a line"):
        sentences(written(tmp_path / "c.txt", (long * 300).encode()))


NUMBERED = range(200)
VOCABULARIES = {  # a text, its settings, what is advised, what is not
    "all different": ([f"so w{i} w{i}x is" for i in NUMBERED], {}, "use --data.tokenizer bpe", "raise"),
    "too small": (
        [f"so w{i % 50} is w{i % 31}" for i in NUMBERED],
        {"vocabulary": 9},
        "raise --data.vocabulary or use --data.tokenizer bpe",
        "without spaces",
    ),
    "too few letters": (
        [f"so {chr(0x4E00 + i)} is" for i in NUMBERED],
        {"vocabulary": 9, "tokenizer": "bpe"},
        "raise --data.vocabulary",
        "use --data",
    ),
    "fitting": ([f"so w{i % 5} is now" for i in NUMBERED], {}, "; 0.00% of held-out tokens", "--data"),
    "no spaces": (
        [f"今天天气很好我们去公园{'很好' * (i % 9)}" for i in NUMBERED],
        {},
        "without spaces between words: use --data.tokenizer bpe",
        "raise",
    ),
    "spaces": ([f"今天 天气 很好 {'我们 ' * (i % 9)}" for i in NUMBERED], {}, "; 0.00% of held-out tokens", "--data"),
}


@pytest.mark.parametrize("name", VOCABULARIES)
def test_what_to_try_where_the_vocabulary_does_not_fit(tmp_path, name):
    text, settings, advised, not_advised = VOCABULARIES[name]
    _, notes = sentences(written(tmp_path / "a.txt", "\n".join(text).encode()), **settings)
    assert advised in notes and not_advised not in notes


def test_settings_for_files_of_another_kind_are_refused(tmp_path):
    path = written(tmp_path / "a.txt", "\n".join(TEXT).encode())
    for setting in ({"column": "text"}, {"label": "stars"}, {"delimiter": ";"}, {"header": True}, {"subset": "test"}):
        with pytest.raises(ValueError, match=rf"{next(iter(setting))} applies.* try leaving it out"):
            sentences(path, **setting)


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "PIECE", 2**14)
    peaks = []
    for count in (5_000, 50_000):
        path = written(tmp_path / f"{count}.txt", b"".join(b"so it is here %d\n" % i for i in range(count)))
        tracemalloc.start()
        found = collect(of_files((str(path),), Fields()).blocks(), Tidy(), tmp_path / "all.txt", Division())
        assert sum(map(len, found.texts(np.ones(count, bool)))) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 45_000 * 40  # numbers and hashes; the lines alone would take 70 bytes and more each


def test_long_reads_report_their_progress(tmp_path, monkeypatch, capsys):
    path = written(tmp_path / "a.txt", "\n".join(TEXT).encode())
    sentences(path)
    assert "data:" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "EVERY", 0.0)
    sentences(path, lower=True)
    told = capsys.readouterr().err
    assert f"data: reading {path}: 80 sentences" in told and "data: writing train ids: 72 sentences" in told
