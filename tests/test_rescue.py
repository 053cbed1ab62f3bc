"""A rescue: what is tried, how it is ranked, what it leaves behind, and what it says where there is nothing to do."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import buttress as bt
from buttress.baseline import baseline
from buttress.cli import main as cli
from buttress.cli.commands.rescue import search
from buttress.core.recipe import Recipe
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.diagnostics.estimate import Estimate
from buttress.diagnostics.evidence import Evidence, Groups, Verdict
from buttress.experiments import branches, one_run
from buttress.experiments.branches import Watch
from buttress.experiments.halving import can_halve, plan, standing
from buttress.experiments.pool import KILLED as TOLD_KILLED
from buttress.experiments.rescue import Rescue, _advised, branches_of, rescue
from buttress.report.ranking import BY_EXAMPLE, UNCHANGED, rank, sentences
from buttress.report.results import ArmResult, ComparisonResult, RunResult
from buttress.schedules.constant import Constant
from buttress.training.callbacks import Callback
from buttress.training.progress import Progress
from buttress.training.run import Run, train

LITTLE = {"nll_samples": 4, "nll_examples": 30, "gap_steps": 0, "mi_examples": 30}
FLAGS = ("--by", "here", "--nll_samples", "4", "--nll_examples", "30", "--gap_steps", "0")


def ill(steps: int = 40) -> Recipe:
    """A variance above every eigenvalue."""
    data = LinearGaussianData(dim=8, latent_dim=2, noise=0.3, n=300)
    start = baseline(data, data.open().spec)
    training = replace(start.training, steps=steps, learning_rate=2e-2, validate_every=10, checkpoint_every=10)
    return replace(start, training=training, likelihood=start.likelihood.replace(learned="fixed", variance=50.0))


@pytest.fixture(scope="module")
def collapsed(tmp_path_factory) -> Path:
    """A run whose verdict is a collapse."""
    folder = tmp_path_factory.mktemp("ill") / "run"
    run = train(ill(), folder, progress=False)
    assert run.diagnose(**LITTLE).verdict.state == "collapsed"
    return folder


@pytest.fixture(scope="module")
def rescued(collapsed: Path):
    return rescue(Run.load(collapsed), by="here", settings=LITTLE, remedies=["calibrated_variance"], budget=40)


def test_what_brings_z_into_use_is_found_and_its_recipe_can_be_trained(rescued, collapsed, capsys):
    ranking = rescued.ranking
    names = {row.name for row in ranking.rows}
    assert names == {"none", "calibrated_variance@step-40", "calibrated_variance@scratch"}
    assert ranking.winner.name.startswith("calibrated_variance") and ranking.rows[-1].name == "none"
    assert [row.run.state for row in ranking.rows][-1] == "collapsed" and not ranking.failed
    assert rescued.recipe.likelihood.learned == "optimal" and rescued.recipe.training == ill().training
    assert rescued.folder == collapsed.with_name("run-rescue") and rescued.page.exists()
    plain = json.loads((rescued.folder / "ranking.json").read_text())
    assert plain["rows"][0]["name"] == ranking.winner.name and plain["ranked_by"] == "nll"
    assert plain["apply"] == rescued.apply and "z is used" in plain["summary"][0]
    words = rescued.apply.split()
    assert cli.main([*words[1:], "--training.steps", "2", "--no_diagnose"]) == 0
    assert Run.load(words[words.index("--out") + 1]).recipe.remedies == ("calibrated_variance",)
    assert "rank" in str(rescued) and rescued.apply in str(rescued)
    capsys.readouterr()


def test_a_search_asked_for_again_keeps_what_is_finished(rescued, collapsed, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in rescued.folder.rglob("evidence.json")}
    assert len(before) == 3
    monkeypatch.setattr(one_run, "save_by_example", None)
    again = rescue(Run.load(collapsed), by="here", settings=LITTLE, remedies=["calibrated_variance"], budget=40)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [row.name for row in again.ranking.rows] == [row.name for row in rescued.ranking.rows]
    with pytest.raises(ValueError, match=r"holds a run of another recipe: training\.steps is 40 there and 20 here"):
        rescue(Run.load(collapsed), by="here", settings=LITTLE, remedies=["calibrated_variance"], budget=20)


class Broken(Callback):
    """Ends training in a step after a checkpoint."""

    def on_step(self, step, total, latest):
        if step == 13:
            raise RuntimeError("on purpose")


def test_a_branch_that_was_interrupted_goes_on_at_its_checkpoint(rescued, collapsed, tmp_path):
    run = Run.load(collapsed)
    branch = branches_of(run, ["calibrated_variance"], 40)[0][1]
    place = tmp_path / "out" / branch.folder
    with pytest.raises(RuntimeError, match="on purpose"):
        train(branch.recipe, place, init=branch.init, progress=False, callbacks=[Broken()])
    assert Run.load(place).progress.step == 10
    wishes = {"by": "here", "settings": LITTLE, "remedies": ["calibrated_variance"], "budget": 40}
    done = rescue(run, tmp_path / "out", **wishes)
    weights = [
        (folder / branch.folder / "weights.safetensors").read_bytes() for folder in (done.folder, rescued.folder)
    ]
    assert weights[0] == weights[1]


KILLED = """
import os, signal, sys
from buttress.experiments.branches import Watch
from buttress.experiments.rescue import rescue
from buttress.training.run import Run

def step(branch, step, total):
    if branch == "scratch/calibrated_variance" and step == 30:  # told every ten steps
        os.kill(os.getpid(), signal.SIGKILL)

rescue(Run.load(sys.argv[1]), sys.argv[2], by="here", settings={settings}, remedies=["calibrated_variance"], budget=40,
       watch=Watch(step=step))
"""


def test_kill_9_in_a_whole_rescue_loses_the_steps_since_the_last_checkpoint_alone(rescued, collapsed, tmp_path):
    (script := tmp_path / "script.py").write_text(KILLED.replace("{settings}", repr(LITTLE)))
    out = tmp_path / "out"
    ended = subprocess.run([sys.executable, script, collapsed, out], check=False, timeout=300)
    assert ended.returncode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("evidence.json")}
    last = Progress.read(out / "scratch" / "calibrated_variance").step
    assert len(kept) == 2 and last in (20, 30)  # a checkpoint every ten
    steps: list[tuple[str, int]] = []
    watch = Watch(step=lambda branch, step, total: steps.append((branch, step)))
    wishes = {"by": "here", "settings": LITTLE, "remedies": ["calibrated_variance"], "budget": 40, "watch": watch}
    again = rescue(Run.load(collapsed), out, **wishes)
    made = {branch: [at for name, at in steps if name == branch and 0 < at < 40] for branch, _ in steps}
    assert made.pop("scratch/calibrated_variance") == list(range(last + 10, 40, 10)) and not any(made.values())
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert [row.name for row in again.ranking.rows] == [row.name for row in rescued.ranking.rows]
    weights = [
        (folder / "scratch" / "calibrated_variance" / "weights.safetensors").read_bytes()
        for folder in (out, rescued.folder)
    ]
    assert weights[0] == weights[1]


def test_what_is_tried_is_what_the_verdict_advises(collapsed):
    run = Run.load(collapsed)
    evidence = Evidence.load(collapsed / "evidence.json")
    lags = replace(evidence.verdict, cause="inference lags", advice=("aggressive", "word_dropout", "semi_amortized"))
    assert _advised(replace(evidence, verdict=lags), run, 2) == ["aggressive", "semi_amortized"]
    unknown = replace(evidence.verdict, cause=None, advice=())
    assert _advised(replace(evidence, verdict=unknown), run, 6)[0] == "kl_annealing"
    with pytest.raises(ValueError, match=r"no remedy of the catalogue is known to cure this .* name some"):
        _advised(replace(evidence, verdict=replace(lags, advice=())), run, 6)


def test_branches_that_began_elsewhere_are_refused(rescued, collapsed, tmp_path):
    other = Path(shutil.copytree(collapsed, tmp_path / "other"))
    with pytest.raises(ValueError, match=r"began with the weights of .*run, wanted .*other; choose another folder"):
        rescue(Run.load(other), rescued.folder, by="here", settings=LITTLE, remedies=["calibrated_variance"], budget=40)


def test_the_verdict_says_what_is_tried_and_each_branch_has_one_budget(collapsed):
    run = Run.load(collapsed)
    annealed = replace(run.recipe, objective=run.recipe.objective.replace(beta=Constant(1.0)))
    branches, left_out = branches_of(run, ["calibrated_variance", "vector_quantized", "word_dropout"], budget=12)
    assert [one.name for one in branches] == [
        "none",
        "calibrated_variance@step-40",
        "calibrated_variance@scratch",
        "vector_quantized@scratch",
    ]
    assert {one.recipe.training.steps for one in branches} == {12} and "recurrent" in left_out["word_dropout"]
    assert branches[0].recipe.objective == annealed.objective
    assert [bool(one.init) for one in branches] == [True, True, False, False]
    assert branches_of(run, ["calibrated_variance"])[0][0].recipe.training.steps == 20
    with pytest.raises(ValueError, match="no remedy fits: word_dropout needs"):
        branches_of(run, ["word_dropout"])


def test_weights_that_went_through_a_schedule_are_not_annealed_again(tmp_path):
    recipe = ill(10)
    from buttress.core import remedy

    run = train(remedy.apply("kl_annealing:fraction=0.6", recipe), tmp_path / "run", progress=False)
    branches, _ = branches_of(run, ["calibrated_variance"])
    assert {one.recipe.training.steps for one in branches} == {10}  # the schedule needs more than half
    weights = [one.recipe.objective.beta.name() for one in branches]
    assert weights == ["constant", "constant", "linear"]


def test_a_healthy_run_has_nothing_to_be_rescued_from(tmp_path, capsys):
    recipe = ill()
    run = train(
        replace(recipe, likelihood=recipe.likelihood.replace(learned="optimal")), tmp_path / "run", progress=False
    )
    assert cli.main(["rescue", str(run.folder), *FLAGS]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("nothing to rescue, z is used")
    assert cli.main(["rescue", str(run.folder), *FLAGS, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reason"].startswith("nothing to rescue")
    assert not run.folder.with_name("run-rescue").exists()


def refused(capsys, *words: object) -> str:
    assert cli.main([str(word) for word in words]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    return said[0]


def test_what_cannot_be_rescued_is_told_in_a_sentence(collapsed, tmp_path, capsys):
    assert "is no folder" in refused(capsys, "rescue", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    refused(capsys, "rescue", tmp_path / "empty")
    strange = Path(shutil.copytree(collapsed, tmp_path / "strange"))
    text = (strange / "recipe.yaml").read_text()
    (strange / "recipe.yaml").write_text(text.replace("name: mlp", "name: of_another_world", 1))
    assert "of_another_world" in refused(capsys, "rescue", strange)
    np.savetxt(tmp_path / "rows.csv", np.random.default_rng(0).normal(size=(60, 3)), delimiter=",", header="a,b,c")
    small = ("--training.steps", "2", "--training.batch_size", "8", "--no_diagnose")
    assert cli.main(["train", str(tmp_path / "rows.csv"), *small, "--out", str(tmp_path / "table")]) == 0
    capsys.readouterr()
    os.rename(tmp_path / "rows.csv", tmp_path / "moved.csv")
    assert "its data were at" in refused(capsys, "rescue", tmp_path / "table")
    assert "jobs is 0" in refused(capsys, "rescue", collapsed, "--jobs", 0, "--remedies", "calibrated_variance")
    with pytest.raises(ValueError, match="wanted a run or its folder"):
        bt.rescue(3)
    with pytest.raises(ValueError, match="no setting of a rescue; did you mean 'budget'"):
        bt.rescue(collapsed, budgt=3)


def test_a_folder_a_budget_or_names_that_cannot_be_are_told_before_anything_is_written(collapsed, capsys):
    kept = {path: path.read_bytes() for path in collapsed.iterdir() if path.is_file()}
    words = ("rescue", collapsed, *FLAGS, "--remedies")
    assert "holds a run, wanted a folder for branches" in refused(capsys, *words, "free_bits", "--out", collapsed)
    assert {path: path.read_bytes() for path in collapsed.iterdir() if path.is_file()} == kept
    assert "--budget is 0, wanted at least 1 step" in refused(capsys, *words, "free_bits", "--budget", 0)
    assert "only none was named" in refused(capsys, *words, "none")
    data = ("prescribe", "linear_gaussian", *FLAGS, "--remedies")
    assert "--budget is -5, wanted at least 1 step" in refused(capsys, *data, "free_bits", "--budget", -5)
    assert "only none was named" in refused(capsys, *data, "none")
    assert "holds a run" in refused(capsys, *data, "free_bits", "--budget", 4, "--out", collapsed)


def test_a_branch_that_dies_is_reported_and_the_others_are_ranked(collapsed, tmp_path, capsys):
    broken = tmp_path / "out/scratch/calibrated_variance"
    broken.mkdir(parents=True)
    (broken / "note.txt").touch()
    words = ("rescue", str(collapsed), *FLAGS, "--remedies", "calibrated_variance", "--budget", "10")
    assert cli.main([*words, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "failed: scratch/calibrated_variance" in said.err and "holds 'note.txt' but no run" in said.err
    rows = json.loads((tmp_path / "out/ranking.json").read_text())
    assert {row["name"] for row in rows["rows"]} == {"none", "calibrated_variance@step-40"}
    assert list(rows["failed"]) == ["scratch/calibrated_variance"]


def made_up(
    name: str, state: str, elbo: float, error: float, folder: Path = Path("no"), steps: int = 10, borderline: str = ""
) -> ArmResult:
    estimates = {"elbo": Estimate(elbo, error, 100, "closed form")}
    verdict = Verdict(state, None, (), (), borderline)
    evidence = Evidence(100, "table", estimates, Groups((), (), (), ()), {"step": steps}, verdict)
    return ArmResult(name, (RunResult(folder / name, evidence=evidence),), (1.0,))


def ranked(*arms: ArmResult):
    return rank(ComparisonResult(Path(), "", {"steps": 10}, arms))


def test_no_name_is_broken_where_nobody_sees_a_terminal(capsys):
    names = ("calibrated_variance@step-500", f"pretrained_autoencoder:{'fraction=0.3:' * 12}floor=0.5@step-1000")
    found = Rescue(Path("x"), ranking=ranked(*(made_up(name, "used", -90.0, 0.1) for name in names)))
    search(lambda watch: found, LinearGaussianData(), as_json=False)
    for told in (str(found), capsys.readouterr().out):
        assert [any(name in line.split() for line in told.splitlines()) for name in names] == [True, True]


def test_the_number_of_branches_and_their_time_are_told_before_they_begin(collapsed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(branches, "_run", lambda tasks, jobs, by, watch: ({}, dict.fromkeys(tasks, "not now")))
    with pytest.raises(ValueError, match="every branch failed"):
        rescue(Run.load(collapsed), tmp_path / "out", settings=LITTLE, remedies=["calibrated_variance"], budget=40)
    assert re.match(r"3 branches: each makes 40 steps, about [0-9.]+ s for all of them", capsys.readouterr().err)


def test_what_is_unchanged_never_wins():
    used, other = made_up("a", "used", -1.0, 0.1), made_up("b", "used", -2.0, 0.1)
    idle = replace(used.runs[0].evidence, settings={UNCHANGED: True})
    used = replace(used, runs=(replace(used.runs[0], evidence=idle),))
    assert ranked(used).winner is None and [line for line in sentences(ranked(used)) if "has no rank" not in line] == []
    both = ranked(used, other)
    assert both.winner.name == "b" and not both.tied and [row.rank for row in both.rows] == [1, 0]


def test_z_in_use_comes_first_then_the_likelihood_and_what_errors_leave_open_is_a_tie():
    found = ranked(
        made_up("empty", "collapsed", -80.0, 0.1),
        made_up("a", "used", -90.3, 0.2),
        made_up("b", "used", -90.0, 0.2),
        made_up("perhaps", "used", -85.0, 0.1, borderline="collapsed"),
        made_up("cut", "used", -70.0, 0.1, steps=5),
        made_up("worse", "used", -95.0, 0.2),
        made_up("some", "partly used", -60.0, 0.1),
    )
    assert [(row.rank, row.name) for row in found.rows] == [
        (1, "a"), (1, "b"), (3, "worse"), (4, "cut"), (5, "some"), (6, "empty"), (7, "perhaps"),
    ]  # fmt: skip
    assert found.measure == "elbo" and found.winner.name == "a" and [row.name for row in found.tied] == ["b"]
    assert "tie with b" in sentences(found)[1]


def test_differences_are_taken_example_by_example_where_they_were_kept(tmp_path):
    hard = np.random.default_rng(0).normal(size=50)
    for name, more in {"a": 0.05, "b": 0.0}.items():
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / BY_EXAMPLE, nll=hard, elbo=90 + hard + more * (1 + 0.1 * hard))
    found = ranked(made_up("a", "used", -90.05, 0.2, tmp_path), made_up("b", "used", -90.0, 0.2, tmp_path))
    assert [(row.rank, row.name) for row in found.rows] == [(1, "b"), (2, "a")]


def test_where_no_branch_uses_z_none_wins():
    found = ranked(made_up("a", "collapsed", -90.0, 0.2), made_up("b", "partly used", -91.0, 0.2))
    assert found.winner is None and sentences(found) == [
        "No branch brought z into use; the best is b (partly used), −ELBO 91.00 ± 0.20 nats."
    ]
    found = ranked(made_up("a", "collapsed", -90.0, 0.2), made_up("none", "partly used", -91.0, 0.2))
    assert sentences(found) == [
        "No branch brought z into use, and no remedy did better than leaving the model as it is (none: partly used, "
        "−ELBO 91.00 ± 0.20 nats)."
    ]


def test_a_branch_is_behind_all_whose_z_is_in_use():
    assert standing(-1e4, 0.6, 0.6) < standing(-1.0, 0.4, 9.0) < standing(-0.5, 0.0, 0.0)


@pytest.mark.skipif(not can_halve(), reason="Optuna is not installed")
def test_hopeless_branches_end_early_and_the_untouched_one_does_not(collapsed, tmp_path):
    names = ["calibrated_variance", "kl_annealing:fraction=0.1"]
    done = rescue(Run.load(collapsed), tmp_path / "out", by="here", settings=LITTLE, remedies=names, budget=40)
    early = {row.name: row.early for row in done.ranking.rows}
    assert early["kl_annealing:fraction=0.1@scratch"] and not early["none"]
    stopped = next(row for row in done.ranking.rows if row.name == "kl_annealing:fraction=0.1@scratch")
    assert stopped.steps < 40 and "stopped" in str(done)
    parts = plan(tmp_path / "out", "step-40", ["new", "step-40/none"], 40)
    assert parts["step-40/none"].trial == 0 and parts["new"].trial == 3  # what was there goes on


@pytest.mark.slow
def test_branches_are_run_by_ray(collapsed, tmp_path):
    pytest.importorskip("ray")
    done = rescue(
        Run.load(collapsed),
        tmp_path / "out",
        by="ray",
        jobs=2,
        settings=LITTLE,
        remedies=["calibrated_variance"],
        budget=10,
    )
    assert len(done.ranking.rows) == 3 and not done.ranking.failed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Ray's, which are not ours to mend
def test_a_worker_of_ray_that_is_killed_loses_its_branch_alone(capsys):
    pytest.importorskip("ray")
    from buttress.experiments.ray_pool import run_by_ray

    def work(seconds, news):
        news.put(("step", int(seconds), 9))
        if seconds < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if not seconds:
            raise ValueError("lr is 0, wanted more")
        return seconds

    heard: list[tuple[str, int, int]] = []
    ended: list[tuple[str, str]] = []
    tasks = {"one": (1.0,), "killed": (-1.0,), "two": (2.0,), "refused": (0.0,)}
    taken, failed = run_by_ray(work, tasks, 2, lambda *news: heard.append(news), lambda *outcome: ended.append(outcome))
    assert taken == {"one": 1.0, "two": 2.0} and failed == {"refused": "lr is 0, wanted more", "killed": TOLD_KILLED}
    assert not capsys.readouterr().out
    assert {("step", 1, 9), ("step", 2, 9)} <= set(heard) and sorted(name for name, _ in ended) == sorted(tasks)


def test_without_ray_it_is_said_how_to_get_it(collapsed, tmp_path, capsys):
    try:
        import ray  # noqa: F401
    except ImportError:
        words = (collapsed, "--by", "ray", "--remedies", "calibrated_variance", "--out", tmp_path / "out")
        assert "pip install 'buttress[ray]'" in refused(capsys, "rescue", *words)


def test_a_recipe_is_found_from_data_alone(tmp_path, monkeypatch, capsys):
    rows = np.random.default_rng(0).normal(size=(200, 2)) @ np.random.default_rng(1).normal(size=(2, 5))
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",", header="a,b,c,d,e", comments="")
    words = (str(tmp_path / "rows.csv"), *FLAGS, "--remedies", "free_bits,beta_vae,word_dropout", "--budget", "10")
    out = tmp_path / "out"
    assert cli.main(["prescribe", *words, "--out", str(out), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in plain["rows"]} == {"none", "free_bits", "beta_vae"}
    assert list(plain["left_out"]) == ["word_dropout"]
    assert (out / "front.png").exists() and (out / "report.html").exists()
    if plain["apply"]:
        assert Recipe.load(out / "winner.yaml").training.steps == 2000
    assert len(list(csv.DictReader((out / "comparison.csv").read_text().splitlines()))) >= 3
