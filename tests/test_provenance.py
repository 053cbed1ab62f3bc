"""How a stored result was made is stored with it."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import buttress
from buttress.experiments.branches import write_branches
from buttress.experiments.papers._result import write_result
from buttress.runtime import provenance as told


def test_the_command_is_as_it_was_typed(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/buttress", "paper", "--out", "my folder"])
    assert told.provenance()["command"] == "buttress paper --out 'my folder'"
    monkeypatch.setattr(sys, "argv", ["/somewhere/site-packages/buttress/__main__.py", "paper"])
    assert told.provenance()["command"] == "buttress paper"


def test_a_clone_tells_its_commit_and_whether_it_was_changed(tmp_path, monkeypatch):
    package = tmp_path / "src" / "buttress"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    monkeypatch.setattr(buttress, "__file__", str(package / "__init__.py"))
    assert told.provenance()["commit"] == head[:12]
    (package / "__init__.py").write_text("changed = True")
    assert told.provenance()["commit"] == head[:12] + "+"


def test_where_there_is_no_clone_nothing_is_said_of_a_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(buttress, "__file__", str(tmp_path / "lib" / "site-packages" / "buttress" / "__init__.py"))
    made = told.provenance()
    assert "commit" not in made and made["version"] == buttress.__version__ and made["processor"]


def test_a_missing_git_is_no_error(monkeypatch):
    def missing(*_: object, **__: object) -> SimpleNamespace:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", missing)
    assert "commit" not in told.provenance()


def test_a_trial_says_how_each_of_its_pieces_was_made(tmp_path, monkeypatch):
    from buttress.experiments.papers.vq_vae import VqVae

    path = tmp_path / "result.json"
    for seeds in ("1", "2", "2"):
        monkeypatch.setattr(sys, "argv", ["buttress", "paper", "vq_vae", "--seeds", seeds])
        write_result(path, VqVae(), [])
    made = json.loads(path.read_text("utf-8"))["made"]
    assert [one["command"] for one in made] == ["buttress paper vq_vae --seeds 1", "buttress paper vq_vae --seeds 2"]


def test_a_comparison_says_how_it_was_made(tmp_path, monkeypatch):
    write_branches(tmp_path, "digits", 10, [], {})
    monkeypatch.setattr(sys, "argv", ["buttress", "rescue", "--again"])
    write_branches(tmp_path, "digits", 10, [], {})
    made = json.loads((tmp_path / "comparison.json").read_text("utf-8"))["made"]
    assert len(made) == 2 and made[1]["command"] == "buttress rescue --again"
