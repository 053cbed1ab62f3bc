"""What a user gets wrong ends in one line that says what came, what was wanted and what to try, and in code 2."""

import re

import numpy as np
import pytest
import torch

from buttress.cli import main as cli
from buttress.core import DataSpec, Layout
from buttress.experiments.showcase import present, shown
from buttress.report.examples import pixels
from buttress.training.run import Run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.save("ok.npy", rng.normal(size=(80, 3)).astype(np.float32))
    np.save("nan.npy", np.where(rng.random((50, 3)) < 0.5, np.nan, 0.0).astype(np.float32))
    np.save("flat.npy", np.zeros((50, 0, 8), np.uint8))
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken").mkdir()
    for i in range(10):
        (tmp_path / "broken" / f"{i}.png").write_bytes(b"no picture")
    return tmp_path


WRONG = {
    "": "command.* not provided; try buttress --help",
    "traim ok.npy": "invalid choice: 'traim'.*did you mean 'train'.*buttress --help",
    "paper vqvae": "invalid choice: 'vqvae'.*did you mean 'vq_vae'.*buttress paper --help",
    "train": "required: train.DATA; try buttress train --help",
    "train ok.npy --trainin.steps 3": "unrecognized arguments: --trainin.steps=3; try buttress train --help",
    "train ok.npy --training.steps abc": "training.steps.*Got value: abc; try buttress train --help",
    "train ok.npy --training.steps 0": "steps is 0, wanted more than 0",
    "train --training.steps 0 ok.npy": "steps is 0, wanted more than 0",
    "train --training.steps 2 okk.npy": "did you mean 'ok.npy'",
    "train ok.npy --objective.beta constant --objective.beta.value -1": "value is -1.0, wanted a finite weight of at",
    "train ok.npy --remedies kl_annealing:start=nan": "kl_annealing: fraction is 0.3, start nan .*wanted",
    "train --resume okk.npy": "did you mean 'ok.npy'",
    "train --training.compile okk.npy": "did you mean 'ok.npy'",
    "train --resume maybe ok.npy": "there is no data 'maybe'",
    "reconstruct --mean nope": "nope is no folder, wanted that of a trained run",
    "train okk.npy": "did you mean 'ok.npy'",
    "train nan.npy": "the value is nan; wanted finite numbers",
    "train empty.txt": "the file is empty; try another one",
    "train broken": "10 of 10 images cannot be read.*try repairing",
    "train flat.npy": r"rows of shape \(0, 8\) hold no values",
    f"train ok.npy --training.seed {2**80}": "seed is 1208925819614629174706176, wanted 0 or more and below",
    "train ok.npy --devices 0": "devices is 0, wanted at least 1",
    "train ok.npy --gap_steps -1": "gap_steps is -1, wanted at least 0",
    "train ok.npy --out file": "file is a file, wanted a folder",
    "train ok.npy --out file/run": "file is a file, wanted a folder",
    "train ok.npy --from nope.yaml": "nope.yaml: No such file or directory; try another path",
    "diagnose folder": "folder holds no trained run",
    "diagnose nope": "nope is no folder, wanted that of a trained run",
    "report folder": "folder holds neither a run nor a finished comparison",
    "report nope": "nope is not a folder",
    "compare ok.npy --seeds 0": "seeds is 0, wanted at least 1",
    "compare ok.npy --jobs 0": "jobs is 0, wanted at least 1",
    "compare ok.npy --budget -3": "steps is -3, wanted more than 0",
    "compare ok.npy --nll_samples -1": "nll_samples is -1, wanted at least 0",
    "compare ok.npy --gap_examples 0": "gap_examples is 0, wanted at least 1, or null for all",
    "compare ok.npy --out file": "file is a file, wanted a folder",
    "compare ok.npy --remedies word_dropout": "no remedy fits: word_dropout is for text data",
    "compare ok.npy --remedies nonee": "did you mean 'none'",
    "paper vq_vae --jobs 0": "jobs is 0, wanted at least 1",
    "paper lagging_inference --steps x": "steps.*Got value: x; try buttress paper lagging_inference --help",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_line_says_what_is_wrong_and_nothing_is_left(words, here, capsys):
    before = {path for path in here.rglob("*") if path.is_file()}
    assert cli.main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("buttress: ") and said.count("\n") == 1 and re.search(WRONG[words], said), said
    assert {path for path in here.rglob("*") if path.is_file() and path.name != ".lock"} == before


def test_a_switch_takes_no_word_but_yes_or_no():
    spelled = cli._spelled_out(["--resume", "ok.npy", "--training.compile", "False", "--seed", "3", "--mean"])
    assert spelled == ["--resume=true", "ok.npy", "--training.compile=False", "--seed=3", "--mean=true"]


def test_help_is_no_mistake(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "--help"])
    assert ended.value.code == 0 and "--remedies" in capsys.readouterr().out


def test_where_no_picture_can_be_written_is_said_with_what_could(tmp_path):
    pictures = Run.__new__(Run)
    pictures.spec, pictures.folder = DataSpec(Layout.image(1, 2, 2)), tmp_path
    for out, complaint in (
        (tmp_path, "is a folder, wanted a file to write; try .*samples\\.png"),
        (tmp_path / "name", r"name: no such picture can be written \(unknown file extension: \); try .*name\.png"),
        (tmp_path / "a.jpg", r"a\.jpg: no such picture .*JPEG\); try .*a\.png"),
        (tmp_path / "a.psd", r"a\.psd: no such picture"),
    ):
        with pytest.raises(ValueError, match=complaint):
            present(pictures, torch.zeros(2, 1, 2, 2), out, "samples", 2)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        present(pictures, torch.zeros(2, 1, 2, 2), tmp_path / "nowhere" / "a.png", "samples", 2)
    present(pictures, torch.zeros(2, 1, 2, 2), None, "samples", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def test_a_flag_is_not_taken_for_a_longer_one(capsys):
    assert cli.main(["compare", "linear_gaussian", "--remedies", "none", "--seed", "2"]) == 2
    assert "--seed" in capsys.readouterr().err


def test_fractions_of_white_are_shown_as_bright_as_they_are():
    spec = DataSpec(Layout.image(1, 1, 2), mean=torch.tensor([[[0.2, 0.6]]]))
    assert pixels(shown(spec, torch.tensor([[[[0.2, 1.3]]]])).numpy()).flatten().tolist() == [51, 255]
