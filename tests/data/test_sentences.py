"""Sentences from files and datasets: ids, vocabulary, lengths, and every kind of bad line."""

import gzip

import numpy as np
import pytest
import torch

from buttress.core import BOS, EOS, PAD, UNK, Layout
from buttress.data.reading import lines
from buttress.data.reading.tokens import decode
from buttress.data.sentences import Sentences

pytestmark = pytest.mark.usefixtures("own_cache")
TEXT = [f"the {['big', 'small', 'red'][i % 3]} house number n{i} stands {'here ' * (i % 5)}" for i in range(100)]


def written(tmp_path, text=TEXT, name="a.txt"):
    content = text if isinstance(text, bytes) else "\n".join(text).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(tmp_path / name)


def read_back(splits):
    """Line -> sentence of all examples."""
    found = {}
    for examples in (splits.train, splits.held_out):
        texts = decode(splits.spec, examples.batch(torch.arange(len(examples))))
        found |= {examples.where(i): text for i, text in enumerate(texts)}
    return found


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
def test_known_sentences_come_back_as_they_were(tmp_path, name, tokenizer):
    path = written(tmp_path, [line.replace(" n", " ") for line in TEXT] * 3, name)
    found = read_back(Sentences(path, tokenizer=tokenizer, split="seed").open())
    assert len(found) == 300
    for i, line in enumerate(TEXT * 3):
        assert found[f"{path}, line {i + 1}"] == " ".join(line.replace(" n", " ").split())


def test_ids_lengths_and_the_end(tmp_path):
    splits = Sentences(written(tmp_path)).open()
    x = splits.train.batch(torch.arange(len(splits.train)))
    assert ((x != PAD).sum(1) == splits.train.lengths).all()
    assert (x.gather(1, splits.train.lengths[:, None] - 1) == EOS).all()
    assert (x != BOS).all() and (x == EOS).sum() == len(x)
    assert splits.spec.kind == "text" and splits.spec.shape == (11,)
    assert x.max() < splits.spec.vocabulary


@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
def test_the_vocabulary_is_capped_and_learned_from_training_sentences_alone(tmp_path, tokenizer):
    capped = Sentences(written(tmp_path), tokenizer=tokenizer, vocabulary=12).open()
    assert capped.spec.vocabulary == 12
    assert capped.train.batch(torch.arange(50)).max() == 11
    splits = Sentences(written(tmp_path)).open()
    held = splits.held_out.batch(torch.arange(len(splits.held_out)))
    assert ((held == UNK).sum(1) == 1).all()  # the number of each house is its own, and was never seen in training
    share = (held == UNK).sum() / splits.held_out.lengths.sum()
    assert any(f"{share:.2%} of held-out tokens are unknown" in note for note in splits.notes)


@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
def test_special_tokens_spelled_out_are_unknown_words(tmp_path, tokenizer):
    text = [f"<unk> one <pad> two <eos> <bos> three {'more ' * (i % 7)}" for i in range(100)]
    splits = Sentences(written(tmp_path, text), tokenizer=tokenizer, split="seed").open()
    x = splits.train.batch(torch.arange(len(splits.train)))
    assert (x == EOS).sum() == len(x) and (x != BOS).all()
    assert ((x == PAD).sum(1) == x.shape[1] - splits.train.lengths).all()
    assert (x == UNK).sum() == 4 * len(x)


def test_lower_case_and_punctuation(tmp_path):
    path = written(tmp_path, [f"Hello, World! {'Hi, ' * (i % 9)}n{i}" for i in range(90)])
    found = read_back(Sentences(path, lower=True, punctuation=True, split="seed").open())
    assert found[f"{path}, line 1"].startswith("hello , world !")


def test_several_files_and_folders(tmp_path):
    one, two = written(tmp_path, TEXT[:50], "one.txt"), written(tmp_path, TEXT[50:], "two.txt.gz")
    (tmp_path / "notes.md").write_text("no text")
    for path in (str(tmp_path), f"{one}, {two}", (one, two)):
        splits = Sentences(path).open()
        names = set(read_back(splits))
        assert names == {f"{f}, line {i + 1}" for f in (one, two) for i in range(50)}


def test_held_out_files_are_held_out_whole(tmp_path):
    splits = Sentences(written(tmp_path), held_out_path=written(tmp_path, TEXT[:7], "b.txt")).open()
    assert (len(splits.train), len(splits.held_out)) == (100, 7)
    assert splits.held_out.where(6).endswith("b.txt, line 7")
    assert any("held out: " in note and "b.txt" in note for note in splits.notes)


def test_a_number_of_sentences_can_be_taken(tmp_path):
    first = read_back(Sentences(written(tmp_path), limit=40).open())
    assert {int(name.split()[-1]) for name in first} == set(range(1, 41))
    random = Sentences(written(tmp_path), limit=40, sample="random", split="seed")
    some = [set(read_back(random.replace(split_seed=seed).open())) for seed in (1, 1, 2)]
    assert len(some[0]) == 40 and some[0] == some[1] != some[2]


def test_long_sentences_are_set_aside_or_cut_by_name(tmp_path):
    text = [*TEXT[:30], "word " * 100_000, *TEXT[30:]]
    aside = Sentences(written(tmp_path, text)).open()
    assert any("set aside 1 " in n and "than 100 tokens: " in n and "line 31; try" in n for n in aside.notes)
    assert len(aside.train) + len(aside.held_out) == 100
    cut = Sentences(written(tmp_path, text), longer="cut", max_length=20).open()
    assert any("cut 1 " in note and "line 31; try a larger max_length" in note for note in cut.notes)
    found = read_back(cut)
    assert len(found) == 101 and cut.spec.shape == (20,)
    ends = [e.batch(torch.arange(len(e))).gather(1, e.lengths[:, None] - 1) for e in (cut.train, cut.held_out)]
    assert (torch.cat(ends) == EOS).all()


def test_max_length_counts_eos(tmp_path):
    path = written(tmp_path, [" ".join("word" if i % 2 else "other" for _ in range(4 + i % 3)) for i in range(90)])
    splits = Sentences(path, max_length=6, split="seed").open()
    assert len(splits.train) + len(splits.held_out) == 60 and splits.spec.shape == (6,)


def test_a_line_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 200)
    splits = Sentences(written(tmp_path, [*TEXT[:30], "x" * 10_000, *TEXT[30:], "y" * 10_000])).open()
    note = next(n for n in splits.notes if "more than 200 characters" in n)
    assert "set aside 2 lines" in note and "line 31" in note and "line 102" in note
    assert len(read_back(splits)) == 100


def test_blank_lines_are_left_out(tmp_path):
    splits = Sentences(written(tmp_path, [*TEXT, "", "  \t"])).open()
    assert any("2 blank lines were left out: " in note and "line 102" in note for note in splits.notes)
    assert len(read_back(splits)) == 100


def test_other_encodings(tmp_path):
    content = "\n".join(f"größe {'über ' * (i % 9)}n{i}" for i in range(90)).encode("latin-1")
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=r"a\.txt, line 1: not text in the encoding utf-8 .*try encoding='latin-1'"):
        Sentences(path).open()
    found = read_back(Sentences(path, encoding="latin-1", split="seed").open())
    assert found[f"{path}, line 1"].startswith("größe")
    with pytest.raises(ValueError, match="encoding is 'nonsense'"):
        Sentences(path, encoding="nonsense").open()


def test_a_byte_order_mark_is_no_word(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbf" + "\n".join(TEXT).encode())
    assert read_back(Sentences(path, split="seed").open())[f"{path}, line 1"].startswith("the ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.txt: the file is empty"),
        (b"\n \n", r"a\.txt: 0 examples, too few"),
        (b"one\ntwo\nthree", r"a\.txt: 3 examples, too few"),
        (b"same\n" * 100, r"a\.txt: of 100 examples .* one side would be empty"),
        (b"a b\n\x00\x01\n" * 50, r"a\.txt, line 2: holds NUL bytes"),
        (b"a b\n\xff\x00\n" * 50, r"a\.txt, line 2: not text .*holds NUL bytes.*iconv"),
    ],
)
def test_files_that_are_no_sentences_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        Sentences(written(tmp_path, content)).open()


@pytest.mark.parametrize("tokenizer", ["word", "bpe"])
def test_a_vocabulary_of_one_word_is_refused(tmp_path, tokenizer):
    text = ["a " * (i + 1) for i in range(60)]
    if tokenizer == "bpe":
        text, message = ["<unk> " * (i + 1) for i in range(60)], "no words at all"
    else:
        message = "only the word 'a'"
    with pytest.raises(ValueError, match=rf"a\.txt: the training text has {message}; wanted at least two; try other"):
        Sentences(written(tmp_path, text), tokenizer=tokenizer, split="seed").open()


def test_all_sentences_too_long_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"all \d+ train sentences are longer than max_length 3; try a larger"):
        Sentences(written(tmp_path), max_length=3).open()


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, 100), slice(0, 5), slice(10, None)])
def test_broken_gzip_is_refused(tmp_path, cut):
    path = written(tmp_path, name="a.txt.gz")
    content = (tmp_path / "a.txt.gz").read_bytes()[cut]
    (tmp_path / "a.txt.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.txt\.gz: the file is empty" if not content else "not readable as gzip"):
        Sentences(path).open()


@pytest.mark.parametrize("path", ["no.txt", "no.txt,nor.txt", "/no/such"])
def test_what_is_not_there_is_said_to_be_looked_for(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"there is no such file.*looked in"):
        Sentences(path).open()


def test_a_folder_without_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no file in the folder ends in \.txt, \.csv, .*\.gz"):
        Sentences(str(tmp_path)).open()


@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_a_dataset_of_sentences(tmp_path, kind):
    import datasets

    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict({"review": TEXT, "stars": [1] * 100})
    if kind == "saved":
        data.save_to_disk(tmp_path / "data")
    else:
        (tmp_path / "data").mkdir()
        data.to_parquet(tmp_path / "data" / "train.parquet")
    splits = Sentences(str(tmp_path / "data")).open()
    found = read_back(splits)
    assert len(found) == 100 and all("column 'review', row " in name for name in found)
    with pytest.raises(ValueError, match=r"column 'stars' is not one of strings; it has .*try one of review"):
        Sentences(str(tmp_path / "data"), column="stars").open()


@pytest.mark.parametrize("settings", [{"vocabulary": 5}, {"max_length": 1}, {"limit": 0}, {"encoding": "utf-99"}])
def test_contradictions_are_refused_at_once(settings):
    with pytest.raises(ValueError, match=r"[Ww]anted|try"):
        Sentences("anywhere", **settings)


def test_only_text_can_be_decoded():
    from buttress.core import DataSpec

    with pytest.raises(ValueError, match="only text can be decoded"):
        decode(DataSpec(Layout.table(2)), torch.zeros(1, 2, dtype=torch.int64))


def test_real_sentences(shared_data):
    path = str(shared_data / "ptb" / "ptb.valid.txt.gz")
    splits = Sentences(path, vocabulary=2000, max_length=60).open()
    found = read_back(splits)
    with gzip.open(path, "rt", encoding="utf-8") as file:
        text = [line.split() for line in file]
    for name, sentence in list(found.items())[:300]:
        original, words = text[int(name.split()[-1]) - 1], sentence.split()
        assert len(original) == len(words)
        assert all(a in (b, "<unk>") for a, b in zip(words, original, strict=True))
    assert np.isclose(len(splits.held_out) / 3370, 0.1, atol=0.02)
