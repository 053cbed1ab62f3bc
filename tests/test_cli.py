"""What a user gets wrong ends in one line that says what came, what was wanted and what to try, and in code 2."""

import re
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from buttress.cli import commands
from buttress.cli import main as cli
from buttress.cli.docs import arguments, summary
from buttress.cli.flags import Command
from buttress.cli.recipes import recipe_of
from buttress.cli.sources import sources
from buttress.core import DataSpec, Layout
from buttress.core.recipe import Recipe
from buttress.core.remedy import catalogue
from buttress.experiments.present import present, shown
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
    "": "expected a command, one of demo, train.*; try buttress --help",
    "traim ok.npy": "no command 'traim'; did you mean 'train'.*buttress --help",
    "--out x train ok.npy": "a command comes before its flags, and --out is a flag; try buttress --help",
    "paper": "expected a command, one of baevski2019.*; try buttress paper --help",
    "paper vqvae": "no command 'vqvae'; did you mean 'vq_vae'.*buttress paper --help",
    "train": "train expects DATA, and it is missing; try buttress train --help",
    "train ok.npy and.npy": "'and.npy' is one word too many: buttress train takes DATA; try --help",
    "train ok.npy --trainin.steps 3": "no flag --trainin.steps; did you mean --training.steps.*train --help",
    "train ok.npy --steps 3": "no flag --steps; did you mean --training.steps ",
    "train ok.npy --batch-size 3": "no flag --batch_size; did you mean --training.batch_size",
    "train ok.npy --lr 3": "no flag --lr; did you mean --training.learning_rate",
    "sample nope --draws 3": "no flag --draws.*reconstruct has it",
    "train ok.npy --training.steps": "--training.steps expects INT behind it",
    "train ok.npy --training.steps --resume": "--training.steps expects INT behind it",
    "train ok.npy --training 3": "there is no flag --training;",
    "train ok.npy --training.steps abc": "--training.steps: expected a whole number, got 'abc'",
    "train ok.npy --training.clip abc": "--training.clip: expected a number, or none, got 'abc'",
    "train ok.npy --training.optimizer sdg": "--training.optimizer: expected adam or .* or sgd, got 'sdg'",
    "train ok.npy --encoder.hidden 8,x": "--encoder.hidden: expected .*, got '8,x'",
    "train ok.npy --decoder cov": "decoders has no 'cov'; did you mean 'conv'",
    "train ok.npy --decoder.layers 3": "mlp decoder has no layers .*; try --decoder .*pixelcnn.*, which have it",
    "train ok.npy --objective.beta.steps 3": "constant beta has no steps .*; try --objective.beta cyclical or linear",
    "train ok.npy --objective.per_group 1 --remedies free_bits": "of the remedy: --remedies free_bits:per_group=1",
    "train ok.npy --remedies vector_quantized --posterior.codes 64": "--remedies vector_quantized:codes=64$",
    "train ok.npy --encoder.dim.help": "no part",
    "train ok.npy --training.steps 0": "--training.steps is 0, wanted more than 0",
    "train --training.steps 0 ok.npy": "--training.steps is 0, wanted more than 0",
    "train --training.steps 2 okk.npy": "did you mean 'ok.npy'",
    "train ok.npy --objective.beta constant --objective.beta.value -1": "value is -1.0, wanted a finite weight of at",
    "train ok.npy --remedies kl_annealing:start=nan": "kl_annealing: fraction is 0.3, start nan .*wanted",
    "train --resume okk.npy": "did you mean 'ok.npy'",
    "train --resume": "runs/latest holds no run to resume",
    "train --training.compile okk.npy": "did you mean 'ok.npy'",
    "train --resume maybe ok.npy": "'ok.npy' is one word too many",
    "reconstruct --mean nope": "nope is no folder, wanted that of a trained run",
    "train okk.npy": "did you mean 'ok.npy'",
    "train nan.npy": "all columns are constant in all training rows; try other data",
    "train empty.txt": "the file is empty; try another one",
    "train broken": "10 of 10 images cannot be read.*try repairing",
    "train flat.npy": r"rows of shape \(0, 8\) hold no values",
    f"train ok.npy --training.seed {2**80}": "seed is 1208925819614629174706176, wanted 0 or more and below",
    "train ok.npy --devices 0": "--devices is 0, wanted at least 1",
    "train ok.npy --gap_steps -1": "--gap_steps is -1, wanted at least 0",
    "train ok.npy --out file": "file is a file, wanted a folder",
    "train ok.npy --out file/run": "file is a file, wanted a folder",
    "train ok.npy --from nope.yaml": "nope.yaml: No such file or directory; try another path",
    "train ok.npy --from folder": "folder/recipe.yaml: No such file or directory; try another path",
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
    "compare ok.npy --remedies word_dropout": "no remedy fits: word_dropout needs the recurrent or transformer decoder",
    "compare ok.npy --remedies nonee": "did you mean 'none'",
    "paper vq_vae --jobs 0": "jobs is 0, wanted at least 1",
    "train ok.npy --out=": "--out: expected a path, or none, got ''",
    "train ok.npy --encoder.hidden=": r"--encoder.hidden: expected .*got ''; \[\] is an empty list",
    "paper image_remedies --only=": r"--only: expected .*got ''; \[\] is an empty list",
    "paper sentence_remedies --only ,": "--only: expected .*got ','",
    "paper sentence_remedies --only aggresive": "only: there is no arm 'aggresive'; did you mean 'aggressive'",
    "train ok.npy --out caf\udce9": r"'caf\\udce9' is not UTF-8",
    "diagnose caf\udce9": r"'caf\\udce9' is not UTF-8",
    "paper sentence_remedies --jobs 0": "jobs is 0, wanted at least 1",
    "paper sentence_remedies --out file": "file is a file, wanted a folder",
    "paper lagging_inference --steps x": "--steps: expected a whole number, got 'x'",
}


@pytest.mark.parametrize("words", WRONG)
def test_one_line_says_what_is_wrong_and_nothing_is_left(words, here, capsys):
    before = set(here.rglob("*"))
    assert cli.main(words.split()) == 2
    said = capsys.readouterr().err
    assert said.startswith("buttress: ") and said.count("\n") == 1 and re.search(WRONG[words], said), said
    assert set(here.rglob("*")) == before


@pytest.mark.parametrize("words", [["48,64"], ["48", "64"], ["[48, 64]"]])
def test_a_list_is_written_with_commas_or_blanks(words):
    def typed(run: str, dims: tuple[int, ...] = (), size: tuple[int, int] = (1, 1), seed: int = 0) -> None: ...

    command = Command(typed, "typed")
    line = command.read(["--size", *words, "runs/a", "--dims", *words, "--seed", "3"])
    assert line.words == ["runs/a"]
    assert command.values(line)[1] == {"dims": (48, 64), "size": (48, 64), "seed": 3}


def test_a_switch_takes_no_word_but_yes_or_no():
    def typed(recipe: Recipe, resume: bool = False, seed: int = 0, mean: bool = True) -> None: ...

    line = Command(typed, "typed").read(
        ["--resume", "ok.npy", "--training.compile", "False", "--seed", "3", "--no_mean", "--training.batch-size=4"]
    )
    assert line.words == ["ok.npy"]
    assert line.given == {
        **{"resume": "true", "training.compile": "False", "seed": "3", "mean": "false", "training.batch_size": "4"}
    }


@pytest.mark.parametrize(
    "words", [name.split() for name in ("--help", "-h", "compare --help", "paper -h", "--version")]
)
def test_help_is_no_mistake(words, capsys):
    assert cli.main(words) == 0
    out = capsys.readouterr().out
    assert ("--remedies TEXT" in out) == (words[0] == "compare") and "class" not in out and "buttress" in out


def test_help_of_a_part_tells_its_settings_with_types_and_defaults(capsys):
    assert cli.main(["train", "DATA", "--decoder.help", "pixelcnn"]) == 0
    assert "--decoder.field INT or none" in (out := capsys.readouterr().out) and "[13]" in out
    assert cli.main(["train", "DATA", "--objective.beta.help=linear"]) == 0
    assert "--objective.beta.hold INT" in capsys.readouterr().out
    assert cli.main(["train", "--decoder.help"]) == 0
    assert "pixelsnail" in capsys.readouterr().out


def test_help_beside_data_tells_the_defaults_for_it(here, capsys):
    assert cli.main(["train", "ok.npy", "--help"]) == 0
    assert "table [table]" in " ".join(capsys.readouterr().out.split())


def test_every_command_and_argument_has_its_line_of_help():
    def each(package=None):
        for name, found in (cli.functions() if package is None else cli.functions(package)).items():
            yield from each(found) if isinstance(found, ModuleType) else [(name, found)]

    for name, function in each():
        command = Command(function, name)
        missing = {key.rstrip("_") for key in (*command.places, *command.own)} - {
            key.rstrip("_") for key in arguments(function)
        }
        assert summary(function) and not missing, (name, missing)


def test_a_part_that_stays_keeps_its_settings_and_another_has_its_own(here):
    def build(recipe: Recipe) -> None: ...

    def built(*words: str) -> Recipe:
        command = Command(build, "build")
        return recipe_of(command, command.read(["ok.npy", *words]))

    plain = built()
    assert built("--posterior", "gaussian").posterior == plain.posterior
    assert built("--encoder.hidden", "5").encoder.hidden == (5,)
    assert built("--encoder.hidden", "[5, 6]").encoder.hidden == built("--encoder.hidden=5,6").encoder.hidden == (5, 6)
    first, second = ("--objective.beta.steps", "7"), ("--objective.beta", "linear")
    assert built(*first, *second) == built(*second, *first)
    assert built("--data", "table").data == plain.data
    assert built("--training.clip", "none").training.clip is None


def test_a_reader_that_closes_the_pipe_ends_it_quietly(here):
    program = "from buttress.cli.main import main; raise SystemExit(main(['remedies']))"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as writer:
        writer.stdout.close()
        assert writer.wait(60) == 141 and writer.stderr.read() == b""


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
    with pytest.raises(ValueError, match=r"nowhere is no folder, wanted one to write a\.png into"):
        present(pictures, torch.zeros(2, 1, 2, 2), tmp_path / "nowhere" / "a.png", "samples", 2)
    present(pictures, torch.zeros(2, 1, 2, 2), None, "samples", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def test_a_flag_is_not_taken_for_a_longer_one(capsys):
    assert cli.main(["compare", "linear_gaussian", "--remedies", "none", "--seed", "2"]) == 2
    assert "--seed" in capsys.readouterr().err


def test_fractions_of_white_are_shown_as_bright_as_they_are():
    spec = DataSpec(Layout.image(1, 1, 2), mean=torch.tensor([[[0.2, 0.6]]]))
    assert pixels(shown(spec, torch.tensor([[[[0.2, 1.3]]]])).numpy()).flatten().tolist() == [51, 255]


LIGHT = """
import sys
from buttress.cli import commands
from buttress.cli.main import main
from buttress.cli.sources import sources
heavy = {"compare", "paper", "ppca", "prescribe", "train"}
others = [name for name in sources(commands) if name not in heavy]
for words in (["--help"], [], ["trian"], ["--version"], ["remedies", "--foo"], ["rescue", "a", "--steps", "3"],
              ["rescue", "a", "--budget", "many"], ["sample"], *([name, "--help"] for name in others)):
    main(words)
slow = ("torch", "numpy", "lightning", "datasets", "matplotlib", "sklearn", "scipy", "pandas", "buttress.core")
print("loaded:", [name for name in slow if name in sys.modules], len(others))
"""


def test_help_and_errors_of_arguments_load_nothing_that_takes_long():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"loaded: \[\] 2\d", done.stdout.splitlines()[-1]), done.stdout[-300:]
    assert "there is no flag --steps" in done.stderr and "--budget: expected a whole number" in done.stderr


def test_what_is_read_from_the_files_of_commands_is_what_they_say():
    read, known = sources(commands), cli.functions()
    assert set(read) == set(known)
    for name, function in known.items():
        assert read[name].summary == summary(function) and read[name].summary
        assert isinstance(function, ModuleType) or read[name].flags == set(Command(function, name).own)


def written(value):
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else value


def test_no_setting_of_a_remedy_is_broken_at_the_end_of_a_line(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["remedies"]) == 0
    said = capsys.readouterr().out
    for entry in catalogue().values():
        assert all(f":{name}={written(value)}" in said for name, value in entry.settings.items())
    assert all(len(line) <= 80 for line in said.splitlines())
