"""Models of other libraries, by their real packages where they are installed."""

import math
import types
import warnings
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from buttress.diagnostics.adapters.adapted import adapted
from buttress.diagnostics.adapters.library_model import named
from buttress.diagnostics.check import check
from buttress.diagnostics.diagnose import diagnose

IMAGES = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
QUICK = {"nll_samples": 4, "nll_examples": 20, "gap_steps": 3, "gap_examples": 10}


def read(model, likelihood=None, variance=None):
    """The adapter of a model, checked."""
    found = adapted(model, IMAGES, likelihood, variance, None)
    check(found.model, [IMAGES])
    return found


# --- pythae ---


@pytest.fixture
def models():
    return pytest.importorskip("pythae.models")


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_a_vae_of_pythae_has_the_likelihood_of_its_loss(models, loss):
    config = models.VAEConfig(input_dim=(1, 8, 8), latent_dim=3, reconstruction_loss=loss)
    model = models.VAE(config).eval()
    own = read(model)
    z = torch.randn(2, 60, 3)
    recon = model.decoder(z.flatten(0, 1)).reconstruction.reshape(2, 60, 64)
    loss_of = model.loss_function(recon[0], IMAGES.flatten(1), *[torch.zeros(60, 3)] * 2, z[0])[1]
    constant = 32 * math.log(2 * math.pi) if loss == "mse" else 0.0
    assert float(-own.model.log_likelihood(IMAGES, z)[0].detach().mean()) == pytest.approx(
        float(loss_of.detach()) + constant, rel=1e-4
    )
    assert own.beta == 1.0


def test_a_beta_vae_of_pythae_brings_its_weight(models):
    model = models.BetaVAE(models.BetaVAEConfig(input_dim=(1, 8, 8), latent_dim=3, beta=7.0))
    evidence = diagnose(model, IMAGES, **QUICK)
    assert evidence.estimates["rate_weight"].value == 7.0 and "pythae's BetaVAE" in evidence.notes[0]
    assert diagnose(model, IMAGES, beta=2.0, **QUICK).estimates["rate_weight"].value == 2.0


def test_models_of_pythae_with_another_q_prior_or_loss_are_not_taken_for_a_vae(models):
    sizes = {"input_dim": (1, 8, 8), "latent_dim": 3}
    for name in ("VAE_IAF", "VAMP", "HVAE"):
        model = getattr(models, name)(
            getattr(models, f"{name}_Config", getattr(models, f"{name}Config", None))(**sizes)
        )
        with pytest.raises(ValueError, match=rf"pythae's {name}, whose .*; wanted a normal q and the prior N.0, I."):
            read(model)
    assert read(models.BetaTCVAE(models.BetaTCVAEConfig(beta=7.0, **sizes))).beta is None
    assert read(models.CIWAE(models.CIWAEConfig(beta=0.5, **sizes))).beta == 1.0


@pytest.mark.parametrize("ema", [False, True])
def test_a_vq_vae_of_pythae_decodes_its_codes_as_its_forward_does(models, ema):
    moving = {"use_ema": True, "decay": 0.9} if ema else {}
    model = models.VQVAE(models.VQVAEConfig(input_dim=(1, 8, 8), latent_dim=4, num_embeddings=8, **moving)).eval()
    own = read(model)
    codes = own.model.posterior(IMAGES).base_dist.value
    expected = model({"data": IMAGES}).recon_loss
    got = -own.model.log_likelihood(IMAGES, codes[None]).mean() - 32 * math.log(math.pi)
    assert float(got.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    assert diagnose(model, IMAGES, **QUICK).verdict.state


# --- diffusers ---


def sizes(**more):
    return {
        "in_channels": 1, "out_channels": 1, "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2, "block_out_channels": (4, 4), "norm_num_groups": 2,
        "latent_channels": 2, **more,
    }  # fmt: skip


def test_an_autoencoder_of_diffusers_is_measured_by_its_own_q():
    kl = pytest.importorskip("diffusers").AutoencoderKL
    model = kl(**sizes()).eval()
    own = read(model, "gaussian", 0.1)
    q, theirs = own.model.posterior(IMAGES), model.encode(IMAGES).latent_dist
    assert torch.allclose(q.mean, theirs.mean) and q.event_shape == (2, 4, 4)
    assert torch.allclose(torch.distributions.kl_divergence(q, own.model.prior()), theirs.kl(), rtol=1e-4)
    recon = model.decode(theirs.mean).sample
    expected = torch.distributions.Normal(recon, 0.1**0.5).log_prob(IMAGES).sum((1, 2, 3))
    assert torch.allclose(own.model.log_likelihood(IMAGES, theirs.mean[None])[0], expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"AutoencoderKL.*gives reconstructions and no likelihood"):
        adapted(model, IMAGES, None, None, None)


def test_a_vq_model_of_diffusers_decodes_its_codes_as_its_forward_does():
    model = pytest.importorskip("diffusers").VQModel(**sizes(num_vq_embeddings=8)).eval()
    own = read(model, "mse")
    codes = own.model.posterior(IMAGES).base_dist.value
    error = (model(IMAGES).sample - IMAGES).square().sum((1, 2, 3))
    assert torch.allclose(-own.model.log_likelihood(IMAGES, codes[None])[0], error + 32 * math.log(math.pi), rtol=1e-4)
    assert codes.shape == (60, 4, 4, 1) and own.model.prior().base_dist.logits.shape[-1] == 8


# --- vector-quantize-pytorch ---


class Around(nn.Module):
    """Sixteen rows of four pixels each, coded by a layer, and a linear way back."""

    def __init__(self, layer, image=False):
        super().__init__()
        torch.manual_seed(0)
        self.down, self.layer, self.up, self.image = nn.Linear(4, 6), layer, nn.Linear(6, 4), image

    def forward(self, x):
        h = self.down(x.reshape(len(x), 16, 4))
        if self.image:
            h = h.reshape(len(x), 4, 4, 6).movedim(-1, 1)
        out = self.layer(h)[0]
        if self.image:
            out = out.movedim(1, -1).reshape(len(x), 16, 6)
        return {"recon": self.up(out).reshape(x.shape)}


LAYERS = {
    "VectorQuantize": ({"dim": 6, "codebook_size": 8}, (16, 1), 8),
    "VectorQuantize image": ({"dim": 6, "codebook_size": 8, "accept_image_fmap": True}, (4, 4, 1), 8),
    "VectorQuantize heads": (
        {"dim": 6, "codebook_size": 8, "heads": 2, "codebook_dim": 3, "separate_codebook_per_head": True},
        (16, 2),
        8,
    ),
    "ResidualVQ": ({"dim": 6, "codebook_size": 8, "num_quantizers": 3}, (16, 3), 8),
    "GroupedResidualVQ": ({"dim": 6, "codebook_size": 8, "num_quantizers": 2, "groups": 2}, (16, 4), 8),
    "FSQ": ({"dim": 6, "levels": [4, 3]}, (16, 1), 12),
    "ResidualFSQ": ({"dim": 6, "levels": [4, 3], "num_quantizers": 2}, (16, 2), 12),
    "LFQ": ({"dim": 6, "codebook_size": 16}, (16, 1), 16),
    "ResidualLFQ": ({"dim": 6, "codebook_size": 16, "num_quantizers": 2}, (16, 2), 16),
    "SimVQ": ({"dim": 6, "codebook_size": 8}, (16, 1), 8),
}


@pytest.mark.parametrize("written", LAYERS)
def test_codes_of_a_layer_are_decoded_as_forward_does(written):
    package = pytest.importorskip("vector_quantize_pytorch")
    settings, shape, classes = LAYERS[written]
    model = Around(getattr(package, written.split()[0])(**settings), image="image" in written).eval()
    own = read(model, "mse")
    codes = own.model.posterior(IMAGES).base_dist.value
    assert codes.shape == (60, *shape) and own.model.prior().base_dist.logits.shape[-1] == classes
    error = (model(IMAGES)["recon"] - IMAGES).square().sum((1, 2, 3))
    got = -own.model.log_likelihood(IMAGES, codes[None])[0]
    assert torch.allclose(got, error + 32 * math.log(math.pi), rtol=1e-3)
    others = torch.randint(classes, (1, *codes.shape))  # random layers give most examples the same codes
    assert not torch.allclose(-own.model.log_likelihood(IMAGES, others)[0], got)


def test_several_layers_are_refused_and_one_is_diagnosed():
    package = pytest.importorskip("vector_quantize_pytorch")
    make = lambda: Around(package.VectorQuantize(dim=6, codebook_size=8))  # noqa: E731
    heads = package.VectorQuantize(dim=6, codebook_size=8, heads=2)
    with pytest.raises(ValueError, match="heads that share a codebook"):
        adapted(Around(heads), IMAGES, "mse", None, None)
    with pytest.raises(ValueError, match="has 2 layers of vector_quantize_pytorch, wanted one"):
        adapted(nn.Sequential(make(), make()), IMAGES, "mse", None, None)
    assert diagnose(make(), IMAGES, likelihood="mse", **QUICK).estimates["code_perplexity"].value >= 1


def test_a_model_in_training_mode_keeps_its_codebook_and_stages_of_other_sizes_are_refused():
    package = pytest.importorskip("vector_quantize_pytorch")
    model = Around(package.VectorQuantize(dim=6, codebook_size=8)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    diagnose(model, IMAGES, likelihood="mse", **QUICK)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="have 4, 8 codes, wanted as many in each"):
        adapted(Around(package.ResidualVQ(dim=6, codebook_size=(8, 4))), IMAGES, "mse", None, None)


# --- transformers ---


class ModelOutput(OrderedDict):
    """As transformers has it: a dict whose entries are attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class SentenceVAE(nn.Module):
    """Mean of embeddings, a normal q, and a GRU that reads z at each place and the tokens before, shifted inside."""

    leak = shifted = False

    def __init__(self, words=12, width=8, latents=3):
        super().__init__()
        torch.manual_seed(0)
        self.config = types.SimpleNamespace(pad_token_id=1)
        self.embedding, self.q = nn.Embedding(words, width), nn.Linear(width, 2 * latents)
        self.rnn, self.head = nn.GRU(width + latents, width, batch_first=True), nn.Linear(width, words)

    def reparameterize(self, mu, logvar):
        return mu + torch.randn_like(mu) * (logvar / 2).exp()

    def forward(self, input_ids, attention_mask=None, labels=None):
        h = self.embedding(input_ids)
        there = attention_mask[..., None].to(h)
        mu, logvar = self.q((h * there).sum(1) / there.sum(1)).chunk(2, -1)
        z = self.reparameterize(mu, logvar)
        before = h if self.shifted else torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], 1)
        before = before + h.mean(1, keepdim=True) if self.leak else before
        out = self.head(self.rnn(torch.cat([before, z[:, None].expand(-1, h.shape[1], -1)], -1))[0])
        target = labels[:, 1:] if self.shifted else labels
        loss = F.cross_entropy((out[:, :-1] if self.shifted else out).transpose(1, 2), target, ignore_index=-100)
        return ModelOutput(loss=loss, logits=out, mu=mu, logvar=logvar)


SentenceVAE.__module__ = "transformers.models.made_up"


def tokenised(n=40, longest=7):
    """Sentences as a tokenizer pads them, with 1, and labels with -100 there."""
    own = torch.Generator().manual_seed(0)
    mask = (torch.arange(longest) < torch.randint(3, longest + 1, (n, 1), generator=own)).long()
    ids = torch.where(mask > 0, torch.randint(2, 12, (n, longest), generator=own), 1)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.where(mask > 0, ids, -100)}


@pytest.mark.parametrize("shifted", [False, True])
def test_a_sentence_vae_of_transformers_has_the_likelihood_of_its_loss(shifted):
    model, batch = SentenceVAE(), tokenised()
    model.shifted = shifted
    found = adapted(model, [batch], None, None, None)
    check(found.model, found.batches)
    data, z = found.batches[0], torch.randn(1, 40, 3)
    model.reparameterize = lambda mu, logvar: z[0]
    with torch.no_grad():
        loss = model(**batch).loss
        counted = batch["attention_mask"].sum() - 40 * shifted
        told = -found.model.log_likelihood(data.x, z, data.given).sum() / counted
    assert float(told) == pytest.approx(float(loss), rel=1e-4)
    assert torch.equal(data.given["lengths"], batch["attention_mask"].sum(1)) and int(data.x.min()) == 0
    assert any("predict the next one" in note for note in found.notes) == shifted


def test_a_sentence_vae_is_diagnosed_and_what_cannot_be_read_is_refused():
    batch, model = tokenised(), SentenceVAE()
    evidence = diagnose(model, [batch], **QUICK)
    assert evidence.kind == "text" and "p(x|z) is that of its logits" in evidence.notes[0]
    assert evidence.estimates["worth_shuffled"].value is not None and "label_accuracy" not in evidence.estimates
    model.leak = True
    for wrong, data, said in (
        (model, [batch], "sees the token that it predicts"),
        (SentenceVAE(), [{**batch, "attention_mask": batch["attention_mask"].flip(1)}], "padding behind them"),
        (SentenceVAE(), [{**batch, "labels": batch["labels"].flip(0)}], "other sentences than input_ids"),
    ):
        with pytest.raises(ValueError, match=said):
            diagnose(wrong, data, **QUICK)
    with pytest.raises(ValueError, match="whose likelihood is that of its logits"):
        diagnose(SentenceVAE(), [batch], likelihood="mse", **QUICK)


def test_z_is_handed_to_a_forward_that_takes_it():
    class Taking(SentenceVAE):
        def forward(self, input_ids, attention_mask=None, labels=None, latents=None):
            if latents is not None:
                self.reparameterize = lambda mu, logvar: latents
            return super().forward(input_ids, attention_mask, labels)

    Taking.__module__ = "transformers.models.made_up"
    data = adapted(SentenceVAE(), [tokenised()], None, None, None).batches[0]
    z = torch.randn(2, 40, 3)
    one, other = (
        adapted(kind(), [tokenised()], None, None, None).model.log_likelihood(data.x, z, data.given)
        for kind in (SentenceVAE, Taking)
    )
    assert torch.allclose(one, other)


def test_a_bart_with_a_latent_in_place_of_its_memory_is_read():
    """A real encoder and a real decoder, which looks at z alone; cross-attention to the encoder is refused."""
    pytest.importorskip("transformers")
    from transformers import BartConfig, PreTrainedModel
    from transformers.models.bart.modeling_bart import BartDecoder, BartEncoder, shift_tokens_right

    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = BartConfig(
        vocab_size=12, d_model=8, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=16, **sizes
    )

    class BartVAE(PreTrainedModel):
        config_class, leak = BartConfig, False

        def __init__(self, config):
            super().__init__(config)
            self.encoder, self.decoder = BartEncoder(config), BartDecoder(config)
            self.q, self.memory, self.head = nn.Linear(8, 6), nn.Linear(3, 8), nn.Linear(8, 12)
            self.post_init()

        def reparameterize(self, mu, logvar):
            return mu + torch.randn_like(mu) * (logvar / 2).exp()

        def forward(self, input_ids, attention_mask=None, labels=None):
            h = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            mu, logvar = self.q(h[:, 0]).chunk(2, -1)
            memory = self.memory(self.reparameterize(mu, logvar))[:, None]
            memory = torch.cat([memory, h], 1) if self.leak else memory
            start = shift_tokens_right(labels, 1, 2)
            out = self.decoder(input_ids=start, encoder_hidden_states=memory).last_hidden_state
            return {"logits": self.head(out), "mu": mu, "logvar": logvar}

    model = BartVAE(config).eval()
    found = adapted(model, [tokenised()], None, None, None)
    check(found.model, found.batches)
    model.leak = True
    with pytest.raises(ValueError, match="cross-attention to the encoder's states"):
        adapted(model, [tokenised()], None, None, None)


# --- scvi-tools ---


@pytest.fixture(scope="module")
def modules():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("scvi.module", exc_type=ImportError)


def cells(n=40):
    """Counts of cells of two batches and three types, as the loader of scvi-tools gives them."""
    own = torch.Generator().manual_seed(0)
    draw = lambda k: torch.randint(k, (n, 1), generator=own)  # noqa: E731
    x = torch.poisson(3 * torch.rand(n, 12, generator=own) + 0.1, generator=own)
    return {"X": x, "batch": draw(2), "labels": draw(3)}


SIZE = {"n_input": 12, "n_batch": 2, "n_labels": 3, "n_hidden": 8, "n_latent": 3}
PRIORS = {"library_log_means": np.array([[3.0, 2.0]]), "library_log_vars": np.array([[0.5, 0.2]])}
KINDS = {
    "zinb": ("VAE", {}),
    "nb of each batch": ("VAE", {"gene_likelihood": "nb", "dispersion": "gene-batch", "encode_covariates": True}),
    "nb of each label": ("VAE", {"gene_likelihood": "nb", "dispersion": "gene-label"}),
    "logistic normal": ("VAE", {"gene_likelihood": "poisson", "latent_distribution": "ln"}),
    "latent size": ("VAE", {"use_observed_lib_size": False, **PRIORS}),
    "linear": ("LDVAE", PRIORS),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_module_of_scvi_has_the_terms_of_its_loss(modules, kind):
    name, more = KINDS[kind]
    torch.manual_seed(0)
    model, batch = getattr(modules, name)(**SIZE, **more).eval(), cells()
    found = adapted(model, [batch], None, None, None)
    check(found.model, found.batches)
    data, torch_q = found.batches[0], found.model.posterior(found.batches[0].x, found.batches[0].given)
    with torch.no_grad():
        told, _, loss = model(batch)
        untransformed = told["qz"].loc
        told["z"] = model.z_encoder.z_transformation(untransformed)
        z = untransformed
        if told["ql"] is not None:
            told["library"] = told["ql"].loc
            z = torch.cat([z, told["library"]], -1)
        px = model.generative(**model._get_generative_input(batch, told))["px"]
        expected = px.log_prob(batch["X"]).sum(-1)
        got = found.model.log_likelihood(data.x, torch.stack([z, 3 * z]), data.given)
        rate = torch.distributions.kl_divergence(torch_q, found.model.prior(data.given))
    assert torch.allclose(got[0], expected, rtol=1e-4) and got.shape == (2, 40) and not torch.allclose(got[1], got[0])
    assert torch.allclose(rate, sum(loss.kl_local.values()), rtol=1e-4)
    assert found.beta == 1.0 and type(px).__name__ in found.model.notes[0]


def test_a_module_of_scvi_is_diagnosed_and_what_cannot_be_read_is_refused(modules):
    batch, model = cells(), modules.VAE(**SIZE)
    evidence = diagnose(model, [batch], **QUICK)
    assert evidence.estimates["elbo"].value < 0 and evidence.kind == "table" and "scvi-tools' VAE" in evidence.notes[0]
    alone = diagnose(modules.VAE(n_input=12, n_latent=3), batch["X"], **QUICK)
    assert alone.estimates["rate"].value is not None
    for wrong, data, said in (
        (model, batch["X"], "batch 0 has no entry 'batch', and VAE tells 2 apart"),
        (
            modules.VAE(**SIZE, dispersion="gene-label"),
            [{"X": batch["X"], "batch": batch["batch"]}],
            "no entry 'labels'",
        ),
        (modules.SCANVAE(**SIZE), [batch], "SCANVAE can't be read: its loss is"),
        (modules.PEAKVAE(12, n_batch=2), [batch], "PEAKVAE can't be read: .* wanted a"),
    ):
        with pytest.raises(ValueError, match=said):
            diagnose(wrong, data, **QUICK)
    with pytest.raises(ValueError, match="which has its own"):
        diagnose(model, [batch], likelihood="poisson", **QUICK)


# --- without any of them ---


def test_a_class_of_a_library_is_known_by_its_package_and_read_by_its_parts():
    class Told:
        def __init__(self, **named):
            self.__dict__.update(named)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.beta = nn.Linear(64, 2), 3.0
            self.encoder, self.decoder = Part(self.encoded), Part(self.decoded)

        def encoded(self, x):
            return Told(embedding=self.net(x.flatten(1)), log_covariance=torch.full((len(x), 2), -2.0))

        def decoded(self, z):
            return Told(reconstruction=z.repeat(1, 32).reshape(len(z), 1, 8, 8))

    class Part(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.function = function

        def forward(self, value):
            return self.function(value)

    Model.__module__ = "pythae.models.made_up"
    found = read(Model())
    assert found.beta == 3.0 and float(found.model.posterior(IMAGES).stddev[0, 0].detach()) == pytest.approx(
        math.exp(-1)
    )
    assert read(Model(), "gaussian", 4.0).model.log_likelihood(IMAGES, torch.zeros(1, 60, 2)).shape == (1, 60)
    with pytest.raises(ValueError, match="no likelihood"):
        named(Model(), None)


def made_of_pythae(kind, **attributes):
    """A model of a class of this name, whose encoder gives a normal distribution."""

    class Encoder(nn.Module):
        def forward(self, x):
            return types.SimpleNamespace(embedding=x.flatten(1)[:, :2], log_covariance=torch.zeros(len(x), 2))

    class Decoder(nn.Module):
        def forward(self, z):
            return types.SimpleNamespace(reconstruction=z.repeat(1, 32).reshape(len(z), 1, 8, 8))

    def __init__(self):
        nn.Module.__init__(self)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.__dict__.update(attributes)

    return type(kind, (nn.Module,), {"__init__": __init__, "__module__": "pythae.models.made_up"})()


def test_a_class_of_pythae_is_not_measured_as_what_it_is_not():
    with pytest.raises(ValueError, match="pythae's VAMP, whose prior is a mixture of its q"):
        read(made_of_pythae("VAMP"))
    with pytest.raises(ValueError, match="gives reconstructions and no likelihood"):
        read(made_of_pythae("MSSSIM_VAE"))
    kinds = {"BetaVAE": 7.0, "BetaTCVAE": None, "CIWAE": 1.0}
    assert {kind: read(made_of_pythae(kind, beta=7.0)).beta for kind in kinds} == kinds
    assert read(made_of_pythae("INFOVAE_MMD", alpha=0.25)).beta == 0.75


def test_a_named_tuple_of_a_layer_stays_one_and_the_codebook_stays_still():
    class Return(NamedTuple):
        quantized: torch.Tensor
        indices: torch.Tensor

    class Layer(nn.Module):
        codebook_size = 2

        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += self.training  # as a codebook moves
            indices = (x > 0).long()[..., 0]
            return Return(self.indices_to_codes(indices), indices)

        def indices_to_codes(self, indices):
            return (2.0 * indices - 1)[..., None]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.scale = Layer(), nn.Linear(1, 1)

        def forward(self, x):
            return self.scale(self.layer(x[..., None] - 0.5).quantized)[..., 0]

    Layer.__module__ = "vector_quantize_pytorch.made_up"
    model = Model().train()
    own = read(model, "mse").model
    assert model.layer.calls == 0
    assert own.posterior(IMAGES).base_dist.value.shape == (60, 1, 8, 8, 1)
    assert own.log_likelihood(IMAGES, torch.zeros(1, 60, 1, 8, 8, 1)).isfinite().all()
