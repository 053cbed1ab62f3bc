"""A comparison survives runs that fail, and its processes end with the one that started them, whatever ended it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

import buttress as bt
from buttress.baseline import baseline
from buttress.cli.commands.compare import show
from buttress.core.recipe import Recipe
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.diagnostics.evidence import Evidence
from buttress.experiments.compare import _entries, _of_seed, compare
from buttress.experiments.one_run import otherwise
from buttress.objectives.elbo import ELBO
from buttress.report.comparison import markdown_table, write_comparison
from buttress.schedules.constant import Constant
from buttress.training.callbacks import Callback
from buttress.training.run import Run, train

INFINITE = "free_bits:per_group=3e38"
"""An arm whose loss is beyond 32 bits before the first step."""
LITTLE = {"nll_samples": 0, "gap_steps": 0}
SCRIPT = """
import sys
from dataclasses import replace
import buttress as bt
from buttress.baseline import baseline
from buttress.experiments.compare import compare
from buttress.data.linear_gaussian import LinearGaussianData

if __name__ == "__main__":
    data = LinearGaussianData(dim=4, n=300)
    recipe = baseline(data, data.open().spec)
    recipe = replace(recipe, training=replace(recipe.training, steps=10**7, checkpoint_every=100))
    compare(recipe, ["none"], sys.argv[1], seeds=2, jobs=2)
"""


def tiny() -> Recipe:
    data = LinearGaussianData(dim=4, n=300)
    recipe = baseline(data, data.open().spec)
    return replace(recipe, training=replace(recipe.training, steps=5))


def test_a_run_that_fails_is_told_and_the_others_go_on(tmp_path, capfd):
    (tmp_path / "none/seed-1").mkdir(parents=True)
    (tmp_path / "none/seed-1/note.txt").touch()
    show(tiny(), ["none", INFINITE], tmp_path, seeds=2, jobs=1, settings=LITTLE)
    out, err = capfd.readouterr()
    assert out.startswith(f"4 runs of 5 steps, 1 at a time; results go to {tmp_path}\n")
    assert "\nnone/seed-0: finished after " in out and "\nnone/seed-1: failed\n" in out
    told = "".join(err.split())
    assert "failed:none/seed-1:" in told and "/seed-0:beforethefirststep" in told
    base, infinite = json.loads((tmp_path / "comparison.json").read_text())["arms"]
    assert base["runs"] == ["none/seed-0"] and len(base["seconds"]) == 1
    assert "holds 'note.txt' but no run" in base["failed"]["none/seed-1"]
    assert infinite["runs"] == [] and len(infinite["failed"]) == 2
    assert all("NaN or infinite" in reason for reason in infinite["failed"].values())
    table, _, failures = markdown_table(tmp_path).partition("\n\n")
    assert "| `none` | 1 |" in table and "free_bits" not in table
    assert failures.count(" failed: ") == 3 and "none/seed-1 failed: " in failures
    assert write_comparison(tmp_path).read_text().count(" failed: ") == 3


def test_a_comparison_without_any_finished_run_is_refused_with_the_reasons(tmp_path):
    with pytest.raises(ValueError, match=r"every run failed: free_bits.*seed-0: before the first step"):
        compare(tiny(), [INFINITE], tmp_path, seeds=1)
    assert not (tmp_path / "comparison.json").exists()


def test_an_arm_given_twice_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ValueError, match="more than once: none;"):
        compare(tiny(), ["none", "word_dropout", " none "], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_of_another_recipe_are_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "none/seed-1").mkdir(parents=True)
    tiny().save(tmp_path / "none/seed-1/recipe.yaml")
    with pytest.raises(ValueError, match="run of another recipe"):
        compare(tiny(), ["none"], tmp_path, seeds=2)
    assert not (tmp_path / "none/seed-0").exists()


def listed(folder: Path) -> dict[str, list[str]]:
    """The finished runs of each arm in a comparison's table."""
    return {arm["name"]: arm["runs"] for arm in json.loads((folder / "comparison.json").read_text())["arms"]}


def measured(folder: Path) -> dict[str, int]:
    """With how many samples the NLL of each run was measured."""
    found = {path: json.loads(path.read_text())["settings"] for path in sorted(folder.glob("*/*/evidence.json"))}
    return {f"{path.parts[-3]}/{path.parts[-2]}": settings["nll_samples"] for path, settings in found.items()}


@pytest.fixture(scope="module")
def small_comparison(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "out"
    compare(tiny(), ["none"], folder, seeds=1, settings=LITTLE)
    return folder


def test_other_arms_and_settings_leave_one_table_measured_alike(small_comparison, tmp_path, capsys):
    """What is there stays, and is measured as the new arm is."""
    out = Path(shutil.copytree(small_comparison, tmp_path / "out"))
    weights = (out / "none/seed-0/weights.safetensors").stat().st_mtime_ns
    show(tiny(), ["kl_annealing"], out, seeds=1, jobs=1, settings={**LITTLE, "nll_samples": 2})
    said = " ".join(capsys.readouterr().out.split())
    assert "measured again, because nll_samples was 0: none/seed-0" in said
    assert listed(out) == {"none": ["none/seed-0"], "kl_annealing": ["kl_annealing/seed-0"]}
    assert measured(out) == {"none/seed-0": 2, "kl_annealing/seed-0": 2}
    assert (out / "none/seed-0/weights.safetensors").stat().st_mtime_ns == weights
    kept = (out / "none/seed-0/evidence.json").stat().st_mtime_ns
    (out / "kl_annealing/seed-0/evidence.json").write_text('{"format": 1')
    again = compare(tiny(), ["none"], out, seeds=1, settings={**LITTLE, "nll_samples": 2})
    assert [*again.measured_again] == ["kl_annealing/seed-0"]
    assert "evidence.json was not readable" in again.measured_again["kl_annealing/seed-0"]
    assert (out / "none/seed-0/evidence.json").stat().st_mtime_ns == kept
    assert measured(out) == {"none/seed-0": 2, "kl_annealing/seed-0": 2} and len(listed(out)) == 2


class Broken(Callback):
    """Ends training in the fourth step."""

    def on_step(self, step, total, latest):
        if step == 4:
            raise RuntimeError("on purpose")


def test_each_seed_is_measured_with_noise_of_its_own_which_its_arms_share(tmp_path):
    settings = {**LITTLE, "seed": 5}
    compare(tiny(), ["none", "kl_annealing"], tmp_path, seeds=2, settings=settings)
    seeds = {path.parent: Evidence.load(path).settings["seed"] for path in tmp_path.glob("*/*/evidence.json")}
    assert seeds == {tmp_path / arm / f"seed-{k}": 5 + k for arm in ("none", "kl_annealing") for k in range(2)}
    run = tmp_path / "none/seed-1"
    assert otherwise(run, _of_seed(settings, 1)) == "" and otherwise(run, settings) == "seed was 6"


def test_a_run_measured_half_way_is_measured_again_once_it_is_trained(tmp_path):
    recipe, run = replace(tiny(), training=replace(tiny().training, checkpoint_every=2)), tmp_path / "none/seed-0"
    with pytest.raises(RuntimeError, match="on purpose"):
        train(recipe, run, progress=False, callbacks=[Broken()])
    halfway = Run.load(run).diagnose(**LITTLE)
    assert halfway.settings["step"] == Run.load(run).progress.step < 5
    done = compare(recipe, ["none"], tmp_path, seeds=1, settings=LITTLE)
    assert done.measured_again == {"none/seed-0": "it had been measured before training was over"}
    found = Evidence.load(run / "evidence.json")
    assert found.settings["step"] == 5 and found.estimates["elbo"] != halfway.estimates["elbo"]
    assert compare(recipe, ["none"], tmp_path, seeds=1, settings=LITTLE).measured_again == {}
    halfway.save(run / "evidence.json")  # as where `buttress train --resume` was killed before it measured
    assert compare(recipe, ["none"], tmp_path, seeds=1, settings=LITTLE).measured_again == done.measured_again
    assert Evidence.load(run / "evidence.json") == found


def test_a_comparison_of_another_baseline_is_refused_before_anything_is_trained(small_comparison, tmp_path):
    out = Path(shutil.copytree(small_comparison, tmp_path / "out"))
    longer = replace(tiny(), training=replace(tiny().training, steps=7))
    with pytest.raises(ValueError, match=r"none/seed-0 holds a run of another recipe: training\.steps is 5 there"):
        compare(longer, ["kl_annealing"], out, seeds=1, settings=LITTLE)
    weighted = replace(tiny(), objective=ELBO(beta=Constant(0.5)))
    plain = json.loads((out / "comparison.json").read_text())
    (out / "comparison.json").write_text(json.dumps({**plain, "arms": [{"name": "kl_annealing", "runs": []}]}))
    with pytest.raises(ValueError, match=r"holds another comparison, whose arm kl_annealing cannot be one of this: "):
        compare(weighted, ["none"], out, seeds=2, settings=LITTLE)
    (out / "comparison.json").write_text("{")
    with pytest.raises(ValueError, match=r"comparison\.json: damaged .* delete it"):
        compare(tiny(), ["none"], out, seeds=1, settings=LITTLE)
    assert {path.name for path in out.glob("*/seed-*")} == {"seed-0"}


def test_a_table_keeps_what_it_lists_and_what_failed():
    before = {"arms": [{"name": "b", "runs": ["b/seed-0"], "failed": {"b/seed-1": "old", "b/seed-2": "old"}}]}
    seconds, failed = {"b/seed-0": 1.0, "b/seed-1": 2.0, "none/seed-3": 3.0}, {"c/seed-3": "new"}
    wanted = {"none": ["none/seed-3"], "c": ["c/seed-3"]}
    assert _entries(before, wanted, seconds, failed) == [
        {"name": "none", "runs": ["none/seed-3"], "seconds": [3.0], "failed": {}},
        {"name": "b", "runs": ["b/seed-0", "b/seed-1"], "seconds": [1.0, 2.0], "failed": {"b/seed-2": "old"}},
        {"name": "c", "runs": [], "seconds": [], "failed": {"c/seed-3": "new"}},
    ]


@dataclass(frozen=True)
class Sabotage:
    """Hears of the stages of every diagnosis, and does something the second time that one begins."""

    log: Path
    act: str

    def __call__(self, stage: str, done: int, total: int) -> None:
        with self.log.open("a") as file:
            file.write(f"{stage}\n")
        if stage == "bound" and self.log.read_text().splitlines().count("bound") == 2:
            getattr(self, self.act)()

    def memory(self):
        raise MemoryError("no room")

    def nameless(self):
        class Local(Exception):
            """What no other process could read."""

        raise Local("of this process")

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def asked_to_end(self):
        raise SystemExit(143)


ARMS = ["none", "kl_annealing"]


@pytest.mark.parametrize(
    ("act", "reason"), [("memory", "MemoryError: no room"), ("nameless", "Local: of this process")]
)
def test_a_run_that_dies_of_anything_is_told_with_its_kind(act, reason, tmp_path):
    settings = {**LITTLE, "progress": Sabotage(tmp_path / "log", act)}
    done = compare(tiny(), ARMS, tmp_path / "out", seeds=1, settings=settings)
    assert done.failed == {"kl_annealing/seed-0": reason}
    assert json.loads((tmp_path / "out/comparison.json").read_text())["arms"][1]["failed"] == dict(done.failed)
    assert f"kl_annealing/seed-0 failed: {reason}" in markdown_table(tmp_path / "out")


def test_a_worker_that_is_killed_is_named_and_the_comparison_goes_on_when_asked_again(tmp_path):
    settings = {**LITTLE, "progress": Sabotage(tmp_path / "log", "killed")}
    with pytest.raises(ChildProcessError, match=r"killed while kl_annealing/seed-0 was under way.* again"):
        compare(tiny(), ARMS, tmp_path / "out", seeds=1, settings=settings)
    kept = (tmp_path / "out/none/seed-0/evidence.json").stat().st_mtime_ns
    done = compare(tiny(), ARMS, tmp_path / "out", seeds=1, settings=LITTLE)
    assert done.failed == {} and (tmp_path / "out/none/seed-0/evidence.json").stat().st_mtime_ns == kept


def test_a_worker_that_is_asked_to_end_ends_the_comparison(tmp_path):
    settings = {**LITTLE, "progress": Sabotage(tmp_path / "log", "asked_to_end")}
    with pytest.raises(SystemExit, match="143"):
        compare(tiny(), ARMS, tmp_path / "out", seeds=1, settings=settings)
    assert not (tmp_path / "out/comparison.json").exists()


def holders(folder: Path) -> list[Path]:
    """Processes that hold a file of the folder open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            opened = [os.readlink(fd) for fd in (process / "fd").iterdir()]
        except OSError:
            continue
        if any(name.startswith(str(folder)) for name in opened):
            found.append(process)
    return found


def children(parent: int) -> list[Path]:
    """Processes that this one started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = process.joinpath("stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(process)
    return found


def over(process: Path) -> bool:
    """Whether it has ended, though nobody may have asked for its exit status yet."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition, seconds: float) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.2)
    return False


def test_no_process_outlives_a_comparison_that_was_killed(tmp_path):
    script, out = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, str(script), str(out)])
    try:
        assert wait_until(lambda: len(list(out.glob("none/*/weights.safetensors"))) == 2, 120)
        workers = [w for w in holders(out) if w.name != str(parent.pid)]
        started = children(parent.pid)
        assert len(workers) >= 2 and len({*started} - {*workers}) >= 1  # one passes on what the others tell
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_until(lambda: all(map(over, [*workers, *started])), 60)


def test_a_module_of_ones_own_is_compared(tmp_path):
    own = torch.nn.Linear(6, 8)
    threads = torch.get_num_threads()
    quick = {"nll_samples": 0, "gap_steps": 0}
    done = bt.compare(
        torch.randn(100, 6),
        ["none"],
        out=tmp_path / "q",
        seeds=2,
        jobs=2,
        steps=3,
        batch_size=8,
        encoder=own,
        evidence=quick,
    )
    assert not done.failed
    assert torch.get_num_threads() == threads
    first = [bt.load(done.folder / "none" / f"seed-{seed}", encoder=own).model.encoder.net.weight for seed in (0, 1)]
    assert not torch.equal(*first)
