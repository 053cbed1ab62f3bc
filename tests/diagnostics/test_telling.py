"""A diagnosis that lasts says how far it is and what makes it cheaper; a quick one is silent."""

import pytest

import buttress as bt
from buttress.diagnostics import telling
from buttress.diagnostics.reference import LinearGaussian

QUICK = {"nll_samples": 0, "gap_steps": 0}


@pytest.fixture
def model():
    return LinearGaussian.random(dims=4, latents=1)


def said(capsys, model, **settings):
    bt.diagnose(model.vae(), [model.sample(60)[0]], **QUICK, **settings)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_quick_diagnosis_is_silent(model, capsys):
    assert said(capsys, model) == ""


def test_one_that_lasts_tells_how_far_it_is_unless_told_not_to(model, capsys, monkeypatch):
    monkeypatch.setattr(telling, "QUIET", 0.0)
    lines = said(capsys, model).splitlines()
    assert len(lines) == 2 and "gap_steps=0" in lines[0] and "(1/" in lines[1]  # the next one is due in ten seconds
    monkeypatch.setattr(telling, "LINE_EVERY", 0.0)
    assert len(said(capsys, model).splitlines()) > 4
    assert said(capsys, model, progress=False) == ""


def test_whoever_asks_hears_every_stage(model, capsys):
    heard = []
    assert said(capsys, model, progress=lambda *stage: heard.append(stage)) == ""
    assert [done for _, done, _ in heard] == list(range(len(heard))) and len(heard) > 4
    with pytest.raises(Exception, match="progress"):
        bt.diagnose(model.vae(), [model.sample(60)[0]], progress="loud")
