"""Remedies change the recipe, compose, and are found by looking; CONTRIBUTING's worked example works as written."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import buttress as bt
from buttress.baseline import baseline
from buttress.core import Column, DataSpec, Layout, remedy
from buttress.core.recipe import Recipe
from buttress.data.linear_gaussian import LinearGaussianData
from buttress.data.lstm_text import LstmText
from buttress.data.made_translations import MadeTranslations
from buttress.data.mnist5k import Mnist5k
from buttress.data.sounds import Sounds
from buttress.decoders.mlp import MlpDecoder
from buttress.decoders.pixelcnn import PixelCNN
from buttress.encoders.mlp import MlpEncoder
from buttress.objectives.importance_weighted import ImportanceWeighted
from buttress.posteriors.hierarchical_quantized import HierarchicalQuantized
from buttress.posteriors.residual_quantized import ResidualQuantized
from buttress.schedules.constant import Constant

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def conv() -> Recipe:
    return baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))


@pytest.fixture
def image(conv) -> Recipe:
    """Every remedy for images has something to change in a PixelCNN."""
    return replace(conv, decoder=PixelCNN())


@pytest.fixture
def text() -> Recipe:
    return baseline(LstmText(), DataSpec(Layout.text(1004, longest=11)))


@pytest.fixture
def table() -> Recipe:
    return baseline(LinearGaussianData(), DataSpec(Layout.table(16)))


@pytest.fixture
def sound() -> Recipe:
    return baseline(Sounds("speech", crop=640), DataSpec(Layout.frames(6, 64)))


@pytest.fixture
def pairs() -> Recipe:
    spec = DataSpec(Layout.text(50, longest=9), given=(Column("source", symbols=50, size=9),))
    return baseline(MadeTranslations(), spec)


def fitting(entry: remedy.Remedy, *recipes: Recipe) -> Recipe | None:
    """The first recipe that has the parts which a remedy needs; the last resort is one of codes."""
    if {"residual_quantized", "hierarchical_quantized"} & {*(names := entry.needs.get("posterior", ()))}:
        codes = ResidualQuantized(decay=0.999) if "residual_quantized" in names else HierarchicalQuantized()
        recipes = (replace(recipes[0], posterior=codes),)
    return next((r for r in recipes if all(getattr(r, role).name() in n for role, n in entry.needs.items())), None)


def test_every_remedy_changes_a_recipe_it_fits_and_says_so(image, text, table, sound):
    for name, entry in remedy.catalogue().items():
        for recipe in (image, text, table, sound):
            if recipe is not fitting(entry, recipe):
                with pytest.raises(remedy.DoesNotFit, match=f"{name} needs the"):
                    remedy.apply(name, recipe)
                continue
            changed = remedy.apply(name, recipe)
            changed.check()
            if name == "none":
                assert changed == recipe
            else:
                assert replace(changed, remedies=()) != recipe, name
                assert changed.remedies == (name,)
            assert Recipe.from_yaml(changed.to_yaml()) == changed


@pytest.mark.parametrize("name", sorted(remedy.catalogue()))
def test_every_remedy_has_an_example_that_is_right(name):
    """Pytest finds no doctests in them by itself: the decorator makes each an object."""
    change = remedy.catalogue()[name].change
    names = dict(vars(sys.modules[change.__module__]))
    test = doctest.DocTestParser().get_doctest(change.__doc__, names, name, None, None)
    assert test.examples
    said: list[str] = []
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert not doctest.DocTestRunner(optionflags=flags).run(test, out=said.append).failed, "".join(said)


def test_every_remedy_leaves_data_budget_and_seed_alone(image, text, table, sound, pairs):
    for name, entry in remedy.catalogue().items():
        recipe = fitting(entry, image, text, table, sound, pairs)
        changed = remedy.apply(name, recipe)
        assert (changed.data, changed.training) == (recipe.data, recipe.training)
        own = any(path.startswith("likelihood.") for path in entry.takes)
        assert own or changed.likelihood == recipe.likelihood
        assert changed.likelihood.name() == recipe.likelihood.name()


def test_remedies_compose_in_either_order(text):
    one, other = remedy.apply("free_bits+kl_annealing", text), remedy.apply("kl_annealing+free_bits", text)
    assert one.objective == other.objective
    assert one.objective.per_group == 0.25
    assert remedy.apply("free_bits:per_example=true", text).objective.per_example
    assert one.objective.beta(0) == 0.0
    both = remedy.apply("kl_annealing:fraction=0.5+word_dropout:rate=0.25", text)
    assert both.objective.beta.steps == text.training.steps // 2
    assert both.decoder.word_dropout == 0.25
    assert both.remedies == ("kl_annealing:fraction=0.5", "word_dropout:rate=0.25")


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("kl_anealing", "did you mean 'kl_annealing'"),
        ("free_bits:pergroup=1", "cannot read the setting 'pergroup=1'; it has per_group=0.25, total=0.0"),
        ("free_bits:per_group", "cannot read the setting"),
        ("free_bits:per_group=lots", "got 'lots', wanted float"),
        ("free_bits:per_group=-1", "above 0"),
        ("free_bits:per_group=.inf", "above 0"),
        ("free_bits:total=-1", "total is -1.0; set exactly one of them above 0"),
        ("free_bits:total=.nan", "total is nan; set exactly one of them above 0"),
        ("free_bits:total=.inf", "total is inf; set exactly one of them above 0"),
        ("flow_prior+free_bits:total=-1", "total is -1.0; set exactly one of them above 0"),
        ("cosine_regularization:weight=.inf", "cosine is inf, wanted a finite weight"),
        ("cosine_regularization:weight=.nan", "weight is nan, wanted more than 0"),
        ("kl_annealing:fraction=__import__('os')", "wanted float"),
        ("kl_annealing:fraction=-1", "fraction is -1.0, start 0.0 and hold 0.0; wanted parts of all steps"),
        ("kl_annealing:fraction=.nan", "fraction is nan"),
        ("kl_annealing:hold=.nan", "hold nan; wanted"),
        ("kl_annealing:hold=-0.5", "hold -0.5; wanted"),
        ("kl_annealing:start=7", "start 7.0 and hold 0.0; wanted"),
        ("kl_annealing:start=nan", "start nan and hold"),
        ("cyclical_annealing:ratio=.nan", "0 < ratio <= 1"),
    ],
)
def test_what_cannot_be_read_is_named(image, written, complaint):
    with pytest.raises(ValueError, match=re.escape(complaint)):
        remedy.apply(written, image)


def test_a_schedule_longer_than_the_run_is_refused(image):
    with pytest.raises(ValueError, match=r"linear schedule.*the run has 2000"):
        remedy.apply("kl_annealing:fraction=1.5", image).check()


def test_the_dispersion_remedies_compose(text):
    both = remedy.apply("pooled_encoder:pooling=abs+cosine_regularization:weight=0.5", text)
    assert (both.encoder.pooling, both.encoder.cosine) == ("abs", 0.5)
    with pytest.raises(remedy.DoesNotFit, match=r"encoder.pooling = abs already"):
        remedy.apply("pooled_encoder:pooling=abs", replace(both, remedies=()))
    with pytest.raises(
        remedy.DoesNotFit, match="needs the recurrent or transformer encoder, and this recipe has the mlp encoder"
    ):
        remedy.apply("pooled_encoder", replace(text, encoder=MlpEncoder()))
    with pytest.raises(remedy.DoesNotFit, match="weight is 0"):
        remedy.apply("cosine_regularization:weight=0", text)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("aggressive+semi_amortized", "semi_amortized sets algorithm, which aggressive has set already"),
        ("semi_amortized+aggressive", "aggressive sets algorithm, which semi_amortized has set already"),
        ("aggressive+vector_quantized", "vector_quantized sets algorithm, which aggressive"),
        ("vector_quantized+aggressive", "aggressive sets algorithm, which vector_quantized"),
        ("semi_amortized+vector_quantized", "vector_quantized sets algorithm, which semi_amortized"),
        ("vector_quantized+semi_amortized", "semi_amortized sets algorithm, which vector_quantized"),
        ("kl_annealing+cyclical_annealing", "cyclical_annealing sets objective.beta, which kl_annealing has set"),
        ("cyclical_annealing+kl_annealing", "kl_annealing sets objective.beta, which cyclical_annealing has set"),
        ("kl_annealing+free_bits+cyclical_annealing", "which kl_annealing has set already"),
    ],
)
def test_two_that_take_the_same_place_are_refused(text, written, complaint):
    with pytest.raises(remedy.DoesNotFit, match=complaint):
        remedy.apply(written, text)


def test_a_remedy_is_applied_once_whatever_its_settings(image, text, table, sound, pairs):
    for name, entry in remedy.catalogue().items():
        recipe = fitting(entry, image, text, table, sound, pairs)
        if name == "none":
            assert remedy.apply("none+none", recipe) == recipe
            continue
        with pytest.raises(remedy.DoesNotFit, match=f"{name} was applied already"):
            remedy.apply(f"{name}+{name}", recipe)
    with pytest.raises(remedy.DoesNotFit, match=r"free_bits was applied already \(free_bits:per_group=0.5\)"):
        remedy.apply("free_bits:per_group=0.5+kl_annealing+free_bits:per_group=1", image)


def test_codewords_are_restarted_wherever_they_can_die(table):
    slow = replace(table, posterior=ResidualQuantized(codes=8, dim=4, stages=2, decay=0.999, revive=10**9))
    changed = remedy.apply("codebook_restarts", slow)
    assert (changed.posterior.decay, changed.posterior.revive, changed.posterior.stages) == (0.9, 100, 2)
    short = replace(slow, training=replace(slow.training, steps=50))
    assert remedy.apply("codebook_restarts", short).posterior.revive == 5
    with pytest.raises(remedy.DoesNotFit, match="starts from data and is restarted already"):
        remedy.apply("codebook_restarts", replace(changed, remedies=()))
    with pytest.raises(remedy.DoesNotFit, match="this recipe has the gaussian posterior; only these have codewords"):
        remedy.apply("codebook_restarts", table)


def test_a_setting_is_given_once(image):
    with pytest.raises(ValueError, match="free_bits: per_group is given twice"):
        remedy.apply("free_bits:per_group=0.5:per_group=1", image)


def test_a_weight_chosen_by_hand_is_not_overwritten(text):
    weighted = replace(text, objective=text.objective.replace(beta=Constant(0.5)))
    with pytest.raises(remedy.DoesNotFit, match=r"objective.beta = constant already; leave out one"):
        remedy.apply("kl_annealing", weighted)
    assert remedy.apply("vector_quantized", weighted).objective.beta == Constant(0.5)


def test_a_remedy_with_nothing_to_change_says_why(conv, image, text):
    with pytest.raises(remedy.DoesNotFit, match="this recipe has the conv decoder; try --decoder pixelcnn"):
        remedy.apply("local_decoder", conv)
    with pytest.raises(
        remedy.DoesNotFit,
        match="has the mlp decoder; try --decoder pixelcnn",
    ):
        remedy.apply("local_decoder", replace(image, decoder=MlpDecoder()))
    with pytest.raises(remedy.DoesNotFit, match="needs the elbo or free_bits objective"):
        remedy.apply("kl_annealing", replace(text, objective=ImportanceWeighted()))


def test_the_eighth_remedy_is_one_file(tmp_path):
    """The file printed in CONTRIBUTING, added to a copy of the package, is listed and applied; nothing else changes."""
    shutil.copytree(ROOT / "src" / "buttress", tmp_path / "buttress", ignore=shutil.ignore_patterns("__pycache__"))
    code = re.search(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "buttress" / "remedies" / "narrow_latent.py").write_text(code[1], encoding="utf-8")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import buttress; assert buttress.__file__.startswith(sys.path[0])\n"
        "from buttress.cli import main as cli\nfrom buttress.core import remedy\n"
        "from buttress.baseline import baseline\n"
        "from buttress.data.mnist5k import Mnist5k\n"
        "from buttress.core import DataSpec, Layout\n"
        "start = baseline(Mnist5k(), DataSpec(Layout.image(1, 28, 28)))\n"
        "recipe = remedy.apply('narrow_latent:dim=4+kl_annealing', start)\n"
        "assert recipe.posterior.dim == 4 and recipe.remedies[0] == 'narrow_latent:dim=4'\n"
        "assert cli.main(['remedies']) == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "narrow_latent" in done.stdout


def test_codes_come_with_all_that_they_need(image, text):
    sentences = remedy.apply("vector_quantized:slots=4", text)
    assert (sentences.posterior.slots, sentences.prior.name(), sentences.algorithm.name()) == (
        4,
        "recurrent",
        "two_stage",
    )
    few = remedy.apply("vector_quantized", image)
    assert not few.encoder.spatial and (few.posterior.slots, few.prior.name()) == (8, "recurrent")


def test_codes_are_a_map_where_the_decoder_reads_them_place_by_place(conv, image):
    read = replace(image, decoder=image.decoder.replace(spatial=True))
    for written, recipe in (
        ("vector_quantized", conv),
        ("vector_quantized", read),
        ("vector_quantized:spatial=true", image),
    ):
        mapped = remedy.apply(written, recipe)
        assert mapped.encoder.spatial and (mapped.posterior.slots, mapped.prior.name()) == (1, "pixelcnn")
        assert mapped.model(DataSpec(Layout.image(1, 28, 28))).inference.space.shape == (7, 7, 1)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("free_bits+vector_quantized", "vector_quantized needs the elbo objective"),
        ("vector_quantized+free_bits", "free_bits has no effect on codes"),
        ("aggressive+vector_quantized", "sets algorithm, which aggressive"),
        ("flow_prior+vector_quantized", "sets prior, which flow_prior"),
        ("kl_annealing+vector_quantized", "has a constant rate"),
        ("vector_quantized+kl_annealing", "kl_annealing has no effect on codes"),
        ("cyclical_annealing+vector_quantized", "has a constant rate"),
        ("vector_quantized+cyclical_annealing", "cyclical_annealing has no effect on codes"),
    ],
)
def test_what_codes_would_undo_is_refused(image, written, complaint):
    with pytest.raises(remedy.DoesNotFit, match=complaint):
        remedy.apply(written, image)


def test_a_function_that_is_no_remedy_is_refused_in_a_sentence(text):
    def slower(recipe):
        return recipe

    for give in (lambda: remedy.apply([slower], text), lambda: remedy.check_declared(slower)):
        with pytest.raises(ValueError, match=r"slower is a plain function, wanted a remedy; write @buttress.remedy\("):
            give()
    with pytest.raises(ValueError, match=r"slower is under @remedy without arguments; write @buttress.remedy\("):
        bt.remedy(slower)


def test_an_unknown_remedy_is_told_with_who_knows_those_of_scripts(text):
    with pytest.raises(ValueError, match=r"'unheard_of'; there are aggressive, .* script alone; .* entry point"):
        remedy.apply("unheard_of", text)
    with pytest.raises(ValueError, match=r"did you mean 'free_bits'\? There are "):
        remedy.apply("free_bit", text)
