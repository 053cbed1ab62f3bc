"""The programs of the user guide and of the tutorial run as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"


def run_programs(page: str, tmp_path: Path, monkeypatch: Any) -> dict[str, Any]:
    """Run all programs of a page in a folder of their own; the names that they leave."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUTTRESS_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {"__name__": page}
    text = (DOCS / page).read_text(encoding="utf-8")
    for number, program in enumerate(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)):
        exec(compile(program, f"{page}, program {number}", "exec", dont_inherit=True), names)
    return names


def test_the_programs_of_the_guide_run(tmp_path, monkeypatch, capsys):
    run_programs("guide.md", tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "torch.Size([4, 1, 16, 16])" in printed and "torch.Size([3, 6])" in printed and "narrow" in printed
    assert "likelihood_variance 50" in printed


def test_the_tutorial_finds_the_fault_and_cures_it(tmp_path, monkeypatch, capsys):
    with pytest.warns(UserWarning, match=r"z is not used \(step 300\): .*the cause: the optimum is collapsed"):
        names = run_programs("tutorial.md", tmp_path, monkeypatch)
    printed = capsys.readouterr().out
    assert "error loss-reduction (certain)" in printed and "sigma^2 = 32" in printed  # lint
    assert [look.step for look in names["monitor"].looks] == [0, 100, 200, 300, 400]
    assert names["evidence"].verdict.causes[0] == "the optimum is collapsed"
    assert names["found"].ranking.winner.name.startswith("calibrated_variance")
    lines = [line.strip() for line in names["found"].apply.splitlines() if line.startswith(("square", "distortion"))]
    assert len(lines) == 2 and all(line in (DOCS / "tutorial.md").read_text(encoding="utf-8") for line in lines)
    assert names["cured"].verdict.state == "used"
