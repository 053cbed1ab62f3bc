"""What is stored of help and remedies is what the code says, and it is left aside where it might not be."""

import json
import subprocess
import sys

import pytest

from buttress.cli import main as cli
from buttress.cli import stored
from buttress.core import registry

QUICK = """
import sys
from buttress.cli.main import main
for words in (["remedies"], ["paper", "--help"], ["paper", "vq-vae", "-h"],
              *([name, "--help"] for name in ("train", "compare", "prescribe", "ppca"))):
    assert main(words) == 0
print("loaded:", [name for name in ("torch", "numpy", "buttress.core") if name in sys.modules])
"""


def test_what_is_stored_is_what_the_code_says():
    assert json.loads(stored.PLACE.read_text(encoding="utf-8")) == stored.make(), (
        "write it anew with python -m buttress.cli.stored"
    )


def test_help_and_the_list_of_remedies_load_no_torch():
    done = subprocess.run([sys.executable, "-c", QUICK], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_what_is_stored_is_left_aside_where_there_is_more(monkeypatch, capsys):
    assert stored.page(["train"]) is not None and stored.remedies()
    monkeypatch.setitem(registry._added, "decoders", {"mine": registry.part("decoders", "mlp")})
    assert stored.page(["train"]) is None and stored.remedies() is None
    assert cli.main(["train", "--help"]) == 0 and " mine," in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", '{"files": {"remedies": []}, "pages": {}, "remedies": []}'])
def test_what_is_stored_is_left_aside_where_it_is_damaged_or_old(text, monkeypatch, tmp_path):
    (tmp_path / "stored.json").write_text(text)
    monkeypatch.setattr(stored, "PLACE", tmp_path / "stored.json")
    stored._read.cache_clear()
    assert stored.page(["train"]) is None
    monkeypatch.undo()
    stored._read.cache_clear()


def test_help_lists_the_settings_of_the_parts_that_are_named(capsys):
    assert cli.main(["train", "--data", "images", "--decoder", "pixelcnn", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--data.path TEXT" in said and "--decoder.field INT or none" in said
    assert cli.main(["train", "linear_gaussian", "--data.n", "50", "--help"]) == 0
    assert "Number of rows. [50]" in (said := capsys.readouterr().out) and "--decoder.hidden" not in said
    assert cli.main(["train", "--help"]) == 0
    assert "train --data images" in capsys.readouterr().out
    assert cli.main(["train", "--data", "imagess", "--help"]) == 2
    assert "did you mean 'images'" in capsys.readouterr().err
