"""The programs of the user guide run as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "guide.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def test_the_programs_of_the_guide_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BUTTRESS_CACHE", str(tmp_path / "cache"))
    names: dict[str, Any] = {"__name__": "guide"}
    for number, program in enumerate(PROGRAMS):
        exec(compile(program, f"guide.md, program {number}", "exec", dont_inherit=True), names)
    printed = capsys.readouterr().out
    assert "torch.Size([4, 1, 16, 16])" in printed and "torch.Size([3, 6])" in printed and "narrow" in printed
    assert "likelihood_variance 50" in printed
