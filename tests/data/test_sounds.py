"""Sound: read from a folder, trained a few steps by a 1-D convolution and a causal decoder, refused where broken."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from buttress import api
from buttress.core import DataSpec, Layout
from buttress.data.reading.resample import resampled
from buttress.data.reading.utterances import alignment_in, columns_in
from buttress.data.sounds import Sounds
from buttress.data.source import detect
from buttress.encoders.conv1d import Conv1dEncoder
from buttress.nn.griffin_lim import sound_of
from buttress.nn.mel import expand, filters, log_mel, mu_law

soundfile = pytest.importorskip("soundfile", reason="needs the audio extra (soundfile)")


@pytest.fixture
def folder(tmp_path, own_cache):
    """Twenty tones of two speakers, 0.1 to 0.3 seconds at 8000 samples a second, WAV and FLAC."""
    rng = np.random.default_rng(0)
    for i in range(20):
        speaker, ending = ("low", "high")[i % 2], ("wav", "flac", "WAV")[i % 3]
        size = int(rng.integers(800, 2400))
        tone = 0.3 * np.sin(2 * np.pi * (200 if i % 2 == 0 else 900) * np.arange(size) / 8000 + i)
        (tmp_path / speaker).mkdir(exist_ok=True)
        form = "WAV" if ending.lower() == "wav" else "FLAC"
        soundfile.write(tmp_path / speaker / f"{i}.{ending}", tone.astype(np.float32), 8000, format=form)
    return tmp_path


SMALL = {"bands": 8, "window": 128, "hop": 80, "held_out": 0.3}


def test_a_folder_of_sound_is_frames_with_true_lengths_and_labels(folder):
    part = detect(str(folder), **SMALL)
    assert part == Sounds(str(folder), **SMALL)
    splits = part.open()
    train, spec = splits.train, splits.spec
    assert len(train) + len(splits.held_out) == 20 and spec.layout.kind == "frames" and spec.layout.lengths
    assert spec.given[0].values == ("high", "low") and any("8000 samples a second" in note for note in splits.notes)
    batch = train.read(torch.arange(len(train)))
    assert batch.x.shape == (len(train), int(batch.lengths.max()), 8) and set(batch.given) == {
        "index",
        "lengths",
        "label",
    }
    true = batch.x[torch.arange(batch.x.shape[1]) < batch.lengths[:, None]]
    torch.testing.assert_close(true.mean(0), spec.mean, rtol=1e-3, atol=1e-3)
    loudest = [batch.x[i, 1].argmax().item() for i in range(len(train))]
    assert all((band > 1) == (label == 0) for band, label in zip(loudest, batch.given["label"].tolist(), strict=True))


def test_crops_of_samples_are_levels_and_those_of_one_file_stay_together(folder):
    splits = Sounds(str(folder), form="wave", crop=400, held_out=0.3).open()
    x = splits.train.batch(torch.arange(4))
    assert x.shape == (4, 400) and x.dtype == torch.int64 and int(x.min()) >= 0 and int(x.max()) < 256
    sides = [{examples.where(i) for i in range(len(examples))} for examples in (splits.train, splits.held_out)]
    assert all(sides) and not sides[0] & sides[1]


@pytest.mark.parametrize("form", ["mel", "wave"])
def test_sound_is_trained_diagnosed_and_sampled(folder, form):
    part = Sounds(str(folder), form=form, **{**SMALL, "crop": 64 if form == "wave" else 800})
    run = api.train(
        part, folder / "run", steps=3, batch_size=4, progress=False, encoder=Conv1dEncoder((8, 8)),
        decoder=api.recipe_for(part).decoder.replace(channels=4, layers=3),
    )  # fmt: skip
    evidence = run.diagnose(nll_samples=0, gap_steps=0)
    assert np.isfinite(evidence.estimates["elbo"].value) and run.sample(2).shape[1:] == run.spec.shape


def test_files_that_are_no_sound_or_of_another_rate_are_named(folder):
    soundfile.write(folder / "low" / "fast.wav", np.zeros(100), 16000)
    with pytest.raises(ValueError, match=r"samples a second, and the others have .*; try --data.rate 8000"):
        Sounds(str(folder)).open()
    notes = " ".join(Sounds(str(folder), rate=8000).open().notes)
    assert "1 of 21 recordings were resampled to 8000 samples a second: " in notes and "fast.wav" in notes
    soundfile.write(folder / "low" / "fast.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"fast.wav: holds samples that are no finite numbers"):
        Sounds(str(folder)).open()
    (folder / "low" / "fast.wav").write_bytes(b"RIFF broken")
    with pytest.raises(ValueError, match=r"fast.wav: not readable as sound"):
        Sounds(str(folder)).open()


def test_stereo_empty_silent_and_clipped_files_are_said(folder):
    soundfile.write(folder / "low" / "both.wav", np.stack([np.full(900, 0.5), np.full(900, -0.5)], 1), 8000)
    soundfile.write(folder / "low" / "loud.wav", np.ones(900), 8000)
    soundfile.write(folder / "low" / "none.wav", np.zeros(0), 8000)
    soundfile.write(folder / "low" / "still.wav", np.zeros(895), 8000)
    notes = " ".join(Sounds(str(folder)).open().notes)
    assert "several channels" in notes and "1 of 24 recordings are clipped" in notes and "loud.wav" in notes
    assert "1 of 24 recordings are empty and were set aside" in notes
    assert "2 of 24 recordings are silent" in notes and "still.wav" in notes and "both.wav" in notes


def test_files_cut_off_are_said_and_hidden_folders_left_alone(folder):
    raw = (folder / "low" / "0.wav").read_bytes()
    (folder / "low" / "cut.wav").write_bytes(raw[: len(raw) // 2])
    streamed = raw[:4] + b"\xff" * 4 + raw[8:-80]  # whoever wrote it did not know how long it would get
    (folder / "low" / "streamed.wav").write_bytes(streamed)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "junk.wav").write_bytes(b"junk")
    notes = " ".join(Sounds(str(folder)).open().notes)
    assert "1 of 22 recordings end before their headers say" in notes and "cut.wav" in notes


def test_a_name_that_is_no_text_and_a_folder_of_that_name_are_refused(folder):
    raw = (folder / "low" / "0.wav").read_bytes()
    odd = Path(os.fsdecode(os.fsencode(folder / "low") + b"/\xff.wav"))
    try:
        odd.write_bytes(raw)
    except OSError:
        pytest.skip("this file system takes no such names")
    with pytest.raises(ValueError, match=r"xff.wav': this name is not UTF-8; try renaming"):
        Sounds(str(folder)).open()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rate": 10**9}, r"rate is 1000000000, wanted 100 to 1,000,000"),
        ({"rate": 1}, r"rate is 1, wanted 100"),
        ({"window": 10**7}, r"window 10000000; wanted a window of at most 65,536"),
        ({"bands": 258}, r"bands is 258 and window 512; wanted .* no more bands than it has frequencies"),
        ({"trim": float("nan")}, r"trim is nan"),
    ],
)
def test_sizes_that_would_fill_the_disk_or_say_nothing_are_refused_before_reading(settings, said):
    with pytest.raises(ValueError, match=said):
        Sounds("nowhere", **settings)
    Sounds("nowhere", bands=257)


def test_sound_files_of_every_subtype_hold_the_same_samples(tmp_path, own_cache):
    """Whole numbers are read as they are; real ones are scaled, which libsndfile does not do by itself."""
    tone = np.round(0.3 * np.sin(np.arange(500) / 7) * 32768) / 32768
    for i in range(12):
        soundfile.write(tmp_path / f"{i:02d}.wav", tone, 8000, subtype=("PCM_16", "PCM_24", "FLOAT")[i % 3])
    examples = Sounds(str(tmp_path), form="wave", crop=500, levels=65536, split="seed").open().train
    sounds = torch.stack([examples.sound(i) for i in range(len(examples))])
    torch.testing.assert_close(sounds, torch.from_numpy(tone).float().expand_as(sounds), rtol=0, atol=0)
    x = examples.batch(torch.arange(len(examples)))
    assert (expand(x, 65536) - sounds).abs().max() < 1e-3


def test_sound_is_resampled_the_same_whatever_the_blocks():
    tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100).astype(np.float32)
    for rate in (16000, 8000, 48000, 22050):
        whole = np.concatenate(list(resampled([tone], 44100, rate)))
        parts = np.concatenate(list(resampled(np.split(tone, [1, 700, 701, 30000]), 44100, rate)))
        assert len(whole) == rate and np.array_equal(whole, parts)
        wanted = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
        np.testing.assert_allclose(whole[300:-300], wanted[300:-300], atol=1e-4)
    high = np.sin(2 * np.pi * 9000 * np.arange(44100) / 44100).astype(np.float32)
    folded = np.concatenate(list(resampled([high], 44100, 16000)))
    assert np.abs(folded[300:-300]).max() < 1e-3, "what 16,000 samples cannot hold is not folded back"


GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.3
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.3
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.3
            text = "a ""word"" 2"
    item [2]:
        class = "TextTier"
        name = "points"
        xmin = 0
        xmax = 0.3
        points: size = 1
        points [1]:
            number = 0.1
            mark = "x"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.3
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.05
            text = "ah"
        intervals [2]:
            xmin = 0.05
            xmax = 0.08
            text = ""
        intervals [3]:
            xmin = 0.08
            xmax = 0.3
            text = "t"
"""


def test_text_grids_beside_files_are_labels_of_frames(folder):
    for file in [*folder.rglob("*.wav"), *folder.rglob("*.flac"), *folder.rglob("*.WAV")]:
        file.with_suffix(".TextGrid").write_text(GRID)
    splits = Sounds(str(folder), **SMALL).open()
    when = splits.train.alignment
    assert when.names == ("ah", "t") and len(when) == len(splits.train)
    assert not any("kinds" in note for note in splits.notes)
    assert set(splits.train.read(torch.arange(2)).given) == {"index", "lengths", "label"}, "no model sees them"
    frames = when.at(torch.tensor([0]), (torch.arange(10) + 0.5) * splits.spec.seconds)
    assert frames.tolist() == [[0] * 5 + [-1] * 3 + [1] * 2]
    words = Sounds(str(folder), tier="words", **SMALL).open().train.alignment
    assert words.names == ('a "word" 2',)
    with pytest.raises(ValueError, match=r"no tier 'tones' of intervals; it has words, phones"):
        Sounds(str(folder), tier="tones").open()
    file.with_suffix(".TextGrid").write_text(GRID.replace("size = 3", "size = 30"))
    with pytest.raises(ValueError, match=r"TextGrid: not readable as a TextGrid"):
        Sounds(str(folder)).open()
    for count in ("999999999999", "-2"):  # a lie that a loop must not follow
        file.with_suffix(".TextGrid").write_text(GRID.replace("size = 3", f"size = {count}"))
        with pytest.raises(ValueError, match=r"TextGrid: (not readable as a TextGrid|no tier 'phones')"):
            Sounds(str(folder)).open()


def test_rows_name_files_by_any_path_and_do_not_contradict_each_other(tmp_path):
    files = [tmp_path / "in" / name for name in ("a.wav", "b.wav")]
    table = tmp_path / "who.csv"
    table.write_text(f"file,speaker\n./in/a.wav,ann\n{files[1]},bob\nelsewhere.wav,eve\n")
    numbers, names = columns_in(table, tmp_path, files)["speaker"]
    assert [names[i] for i in numbers] == ["ann", "bob"]
    table.write_text("file,speaker\na,ann\nb,bob\na,bob\n")
    with pytest.raises(ValueError, match=r"who.csv: two rows about .*a.wav, \['a', 'ann'\] and \['a', 'bob'\]"):
        columns_in(table, tmp_path, files)
    with pytest.raises(ValueError, match=r"none.csv: there is no such table"):
        columns_in(tmp_path / "none.csv", tmp_path, files)
    for start, end, said in (
        (0.5, 0.2, "ends before it begins"),
        ("nan", 1, "no such times"),
        (0, "inf", "such times"),
    ):
        table.write_text(f"file,start,end,label\na,{start},{end},x\n")
        with pytest.raises(ValueError, match=rf"who.csv: alignment of .*a.wav: 'x' from .*{said}"):
            alignment_in(table, tmp_path, files)


def test_tables_say_who_speaks_and_what_and_crops_keep_their_times(folder):
    names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    who = ["file,digit,speaker,id", *(f"{name},{i % 3},s{i % 4},{i}" for i, name in enumerate(names))]
    (folder / "who.csv").write_text("\n".join(who))
    (folder / "said.csv").write_text("file,start,end,label\n" + "".join(f"{n},0,0.05,a\n{n},0.05,9,b\n" for n in names))
    part = Sounds(
        str(folder), "wave", crop=300, table=f"{folder}/who.csv", alignment=f"{folder}/said.csv", split="seed"
    )
    splits = part.open()
    assert [column.name for column in splits.spec.given] == ["digit", "speaker"], "id tells every file from the others"
    assert splits.label_names == ("0", "1", "2") and splits.spec.column("speaker").values == ("s0", "s1", "s2", "s3")
    train = splits.train
    for i in range(len(train)):
        name = str(Path(train.where(i)).relative_to(folder))
        assert train.conditions["speaker"][i] == names.index(name) % 4
    begin = (train.alignment.at(torch.arange(len(train)), torch.tensor([0.0])) == 0).flatten()
    at_start = torch.tensor([i == 0 or train.where(i) != train.where(i - 1) for i in range(len(train))])
    later = torch.tensor([not s and train.where(i) == train.where(i - 1) for i, s in enumerate(at_start)])
    second = later & at_start.roll(1)  # 0.0375 s into its recording
    assert torch.equal(begin, at_start | second)
    for columns, wrong in ((("tone",), "no column 'tone'"), (("speaker",), "")):
        if wrong:
            with pytest.raises(ValueError, match=wrong):
                part.replace(columns=columns).open()
    (folder / "who.csv").write_text("file,speaker\n1,ann\n")
    with pytest.raises(ValueError, match=r"who.csv: no row for .* and 18 other files"):
        part.open()
    (folder / "said.csv").write_text(f"file,start,end,label\n{names[0]},0,2,a\n{names[0]},1,2,b\n")
    with pytest.raises(ValueError, match=r"said.csv: alignment of .*high/1.flac: 'b' from 1 to 2 s"):
        part.replace(table=None).open()
    (folder / "said.csv").write_text("file,start,end,label\nother.wav,0,2,a\n")
    with pytest.raises(ValueError, match=r"said.csv: none of its 1 rows is about one of the .*; try '"):
        part.replace(table=None).open()
    (folder / "said.csv").write_text(
        f"file,start,end,label\n{names[0]},0,40,a\n{names[0]},40,90,b\n{names[0]},90,95,c\n"
    )
    with pytest.raises(ValueError, match=r"2 of 3 segments begin behind the end .*, one of .* at 40 s"):
        part.replace(table=None).open()


def test_silence_at_the_ends_is_trimmed_and_times_move_with_it(tmp_path, own_cache):
    tone = 0.3 * np.sin(np.arange(800) / 3)
    quiet = 1e-4 * np.random.default_rng(0).normal(size=400)
    for i in range(12):
        soundfile.write(tmp_path / f"{i:02d}.wav", np.concatenate([quiet, tone, quiet[:200]]), 8000)
    (tmp_path / "said.csv").write_text("file,start,end,label\n" + "".join(f"{i:02d},0.05,0.15,a\n" for i in range(12)))
    part = Sounds(str(tmp_path), trim=40, alignment=str(tmp_path / "said.csv"), split="seed", window=80, hop=80)
    splits = part.open()
    assert splits.train.size.tolist() == [800] * len(splits.train) and any("trimmed: 42.9%" in n for n in splits.notes)
    assert splits.train.alignment.at(torch.tensor([0]), torch.tensor([0.0, 0.05, 0.099, 0.101])).tolist() == [
        [0, 0, 0, -1]
    ]


def test_an_archive_of_samples_has_columns(tmp_path, own_cache):
    rng = np.random.default_rng(0)
    size = rng.integers(300, 900, 20)
    samples = rng.integers(-3000, 3000, size.sum()).astype(np.int16)
    offsets = np.concatenate([[0], size.cumsum()])
    columns = {"digit": np.arange(20) % 3, "who": (np.arange(20) % 2).astype(np.uint8), "take": np.arange(20)}
    np.savez(tmp_path / "a.npz", audio=samples, offsets=offsets, who_names=np.array(["ann", "bob"]), **columns)
    part = detect(str(tmp_path / "a.npz"), form="wave", crop=300, rate=8000, columns=("who", "digit"), split="seed")
    splits = part.open()
    assert splits.label_names == ("ann", "bob") and [c.name for c in splits.spec.given] == ["who", "digit"]
    where = [int(splits.train.where(i).rpartition(" ")[2]) for i in range(len(splits.train))]
    assert splits.train.conditions["who"].tolist() == [i % 2 for i in where]
    begin = where.index(where[0])
    wanted = torch.from_numpy(samples[offsets[where[0]] :][:300].astype(np.float32) / 32768)
    assert torch.equal(splits.train.sound(begin), wanted)
    with pytest.raises(ValueError, match=r"no telling how many samples a second"):
        Sounds(str(tmp_path / "a.npz")).open()
    np.savez(tmp_path / "b.npz", audio=samples, offsets=offsets[:-1] * 2)
    with pytest.raises(ValueError, match=r"wanted int16 samples, and offsets that grow from 0"):
        Sounds(str(tmp_path / "b.npz"), rate=8000).open()


def test_mel_filters_are_triangles_of_one_height_per_width():
    weights = filters(16000, 512, 40).double()
    peak = weights.argmax(1)
    assert (peak.diff() >= 0).all() and (weights >= 0).all()
    assert torch.allclose(weights[20:].sum(1) * 16000 / 512, torch.tensor(1.0).double(), atol=0.03)
    librosa = pytest.importorskip("librosa", reason="the filters of librosa, where it is installed")
    np.testing.assert_allclose(weights.numpy(), librosa.filters.mel(sr=16000, n_fft=512, n_mels=40), atol=1e-6)


def test_a_louder_tone_moves_its_own_band_by_the_log_of_its_power():
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * torch.arange(4000) / 8000)
    one, two = (log_mel(a * tone, 8000, 20, 256, 80)[20] for a in (1.0, 2.0))
    assert (two - one)[one.argmax()].item() == pytest.approx(2 * np.log(2), abs=1e-4)


@pytest.mark.parametrize(("rate", "bands", "window", "hop"), [(16000, 40, 512, 160), (8000, 20, 256, 64)])
def test_sound_from_frames_has_nearly_these_frames(rate, bands, window, hop):
    """A chirp, in the hundredth of its bands and frames that hold most of its power, and elsewhere as quiet."""
    t = torch.arange(rate) / rate
    chirp = 0.5 * torch.sin(2 * torch.pi * (300 * t + 0.1 * rate * t.square())) * (0.6 + 0.4 * torch.cos(20 * t))
    frames = log_mel(chirp, rate, bands, window, hop)
    again = log_mel(sound_of(frames, rate, window, hop), rate, bands, window, hop)
    loud = frames > frames.max() - 6
    assert len(sound_of(frames[:9], rate, window, hop, 8 * hop + 5)) == 8 * hop + 5
    assert again.shape == frames.shape and (again - frames)[loud].abs().mean() < 0.4
    assert (again[~loud] < frames.max() - 3).all(), "no power where there was none"


def test_frames_that_do_not_overlap_and_numbers_beyond_all_sound():
    with pytest.raises(ValueError, match="cannot be turned back into sound"):
        sound_of(torch.zeros(4, 8), 8000, window=64, hop=64)
    frames = torch.full((12, 8), -20.0)
    frames[3, 2], frames[6, 5] = 60.0, torch.nan
    wild = sound_of(frames, 8000, window=128, hop=64)
    assert wild.isfinite().all() and wild.abs().max() < 4


def test_mu_law_and_back_is_near_for_every_level():
    levels = torch.arange(256)
    assert torch.equal(mu_law(expand(levels)), levels)


def test_padding_frames_further_changes_no_feature():
    encoder = Conv1dEncoder(widths=(4, 5), kernel=3).build(DataSpec(Layout.frames(3, longest=12)))
    x, lengths = torch.randn(2, 9, 3), {"lengths": torch.tensor([9, 5])}
    further = torch.nn.functional.pad(x, (0, 0, 0, 3), value=7.0)
    torch.testing.assert_close(encoder(x, lengths), encoder(further, lengths))
    x[1, 5:] = 100.0
    torch.testing.assert_close(encoder(x, lengths)[1], encoder(further, lengths)[1])
