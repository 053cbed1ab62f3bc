"""Right and wrong models as people write them in plain PyTorch, for the linter and the wiring of a diagnosis."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

D, L, N = 20, 2, 64


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).flatten(1).sum(1).mean()


def draw(mu, logvar):
    return mu + torch.randn_like(mu) * (logvar / 2).exp()


def squares(recon, x):
    return 0.5 * (recon - x).square().flatten(1).sum(1).mean()


def loss(model, x):
    """As most loops have it, of a model that returns (recon, mu, logvar, ...)."""
    recon, mu, logvar = model(x)[:3]
    return squares(recon, x) + kl(mu, logvar)


def bits(model, x):
    recon, mu, logvar = model(x)[:3]
    return F.binary_cross_entropy_with_logits(recon, x, reduction="sum") / len(x) + kl(mu, logvar)


class Vae(nn.Module):
    """Right; what others change is one method."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(D, 2 * L), nn.Sequential(nn.Linear(L, 16), nn.Tanh(), nn.Linear(16, D))

    def sample(self, mu, logvar):
        return draw(mu, logvar)

    def answer(self, recon, mu, logvar):
        return recon, mu, logvar

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.answer(self.decoder(self.sample(mu, logvar)), mu, logvar)


class Zeroed(Vae):
    """The last layer of the decoder begins at 0, as in many papers."""

    def __init__(self, heads=False):
        super().__init__()
        for layer in (self.decoder[-1], *([self.encoder] if heads else [])):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


class Gated(Vae):
    """z enters through a gate that begins at 0 (ReZero)."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(()))

    def sample(self, mu, logvar):
        return self.gate * draw(mu, logvar)


class Copied(Vae):
    """Returns mu and logvar as copies: in another precision, flattened, or cut out of the features anew."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        h = self.encoder(x)
        recon = self.decoder(draw(*h.chunk(2, -1)))
        return {
            "clone": lambda: (recon, h[:, :L].clone(), h[:, L:].clone()),
            "view": lambda: (recon, h.view(len(x), 2, L)[:, 0], h.view(len(x), 2, L)[:, 1]),
            "double": lambda: (recon, h[:, :L].double(), h[:, L:].double()),
        }[self.how]()


class Scaled(Vae):
    """The head gives sigma by a softplus; what is returned is twice its logarithm."""

    def forward(self, x):
        mu, s = self.encoder(x).chunk(2, -1)
        sigma = F.softplus(s) + 1e-4
        return self.decoder(mu + sigma * torch.randn_like(mu)), mu, 2 * sigma.log()


class Cast(Vae):
    """Runs in bfloat16 by autocast, and returns float32."""

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            recon, mu, logvar = super().forward(x)
        return recon.float(), mu.float(), logvar.float()


class Checkpointed(Vae):
    """Makes the activations of the decoder anew at the backward pass, by the old way of torch."""

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return checkpoint(self.decoder, draw(mu, logvar), use_reentrant=True), mu, logvar


class Spoken(Vae):
    """A dict with more in it."""

    def answer(self, recon, mu, logvar):
        return {"x_hat": recon, "mu": mu, "log_var": logvar, "temperature": 1.0}


def by_name(model, x):
    out = model(x)
    return squares(out["x_hat"], x) + kl(out["mu"], out["log_var"])


class Labelled(Vae):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(3, 4)
        self.encoder, self.decoder = nn.Linear(D + 4, 2 * L), nn.Linear(L + 4, D)

    def forward(self, x, y):
        c = self.embed(y)
        mu, logvar = self.encoder(torch.cat([x, c], -1)).chunk(2, -1)
        return self.decoder(torch.cat([draw(mu, logvar), c], -1)), mu, logvar


def conditional(model, batch):
    x, y = batch
    recon, mu, logvar = model(x, y)
    return squares(recon, x) + kl(mu, logvar)


class Images(nn.Module):
    """Convolutions and batch normalisation, with z as a map or a row."""

    def __init__(self, as_map):
        super().__init__()
        self.as_map = as_map
        self.encoder = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, 2 * L, 1) if as_map else nn.Linear(64, 2 * L)
        self.up = nn.Identity() if as_map else nn.Linear(L, L * 16)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(L, 4, 4, 2, 1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, x):
        h = self.encoder(x)
        mu, logvar = self.head(h if self.as_map else h.flatten(1)).chunk(2, 1)
        z = self.up(draw(mu, logvar))
        return self.decoder(z if self.as_map else z.view(-1, L, 4, 4)), mu, logvar


class Quantised(nn.Module):
    """VQ-VAE; ``form`` is what it returns."""

    def __init__(self, form, straight=True):
        super().__init__()
        self.form, self.straight = form, straight
        self.encoder, self.codebook, self.decoder = nn.Linear(D, L), nn.Embedding(8, L), nn.Linear(L, D)

    def forward(self, x):
        z_e = self.encoder(x)
        indices = torch.cdist(z_e, self.codebook.weight).argmin(1)
        code = self.codebook(indices)
        z_q = z_e + (code - z_e).detach() if self.straight else code
        recon, own = self.decoder(z_q), F.mse_loss(code, z_e.detach()) + 0.25 * F.mse_loss(z_e, code.detach())
        share = F.one_hot(indices, 8).float().mean(0)
        perplexity = (-(share * (share + 1e-9).log()).sum()).exp()
        return {
            "z_e, z_q": (recon, z_e, z_q),
            "z_q, z_e": (recon, z_q, z_e),
            "z_e, code": (recon, z_e, code),
            "z_e, detached": (recon, z_e, z_q.detach()),
            "indices, commitment": (recon, indices, own),
            "loss, perplexity": (recon, own, perplexity),
            "z, codes": (recon, z_e, F.one_hot(indices, 8).float()),
            "loss first": (own, recon, perplexity),
            "names": {"recon": recon, "z_e": z_e, "z_q": z_q, "vq_loss": own},
        }[self.form]


FORMS = (
    "z_e, z_q", "z_q, z_e", "z_e, code", "z_e, detached", "indices, commitment", "loss, perplexity", "z, codes",
    "loss first", "names",
)  # fmt: skip


def commitment(model, x):
    out = model(x)
    if isinstance(out, dict):
        return F.mse_loss(out["recon"], x) + out["vq_loss"]
    if out[0].dim() == 0:
        return F.mse_loss(out[1], x) + out[0]
    if out[1].shape == out[2].shape and out[1].dim() > 1:
        return F.mse_loss(out[0], x) + F.mse_loss(out[1], out[2].detach()) + F.mse_loss(out[2], out[1].detach())
    if out[1].dim() > 1:
        return F.mse_loss(out[0], x) + 0.1 * out[1].square().mean()
    return F.mse_loss(out[0], x) + (out[2] if model.form == "indices, commitment" else out[1])


class Plain(nn.Module):
    """An autoencoder that returns z twice over: no VAE."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.again = nn.Linear(D, L), nn.Linear(L, D), nn.Linear(D, L)

    def forward(self, x):
        z = self.encoder(x)
        recon = self.decoder(z)
        return recon, z, self.again(recon)


def cycle(model, x):
    recon, z, again = model(x)
    return F.mse_loss(recon, x) + F.mse_loss(again, z.detach())


class Levels(nn.Module):
    """z2 -> z1 -> x: the upper level is read through the prior of the lower one only."""

    def __init__(self, form="dict", wrong=""):
        super().__init__()
        self.form, self.wrong = form, wrong
        self.first, self.second = nn.Linear(D, 2 * L), nn.Linear(L, 2 * L)
        self.prior, self.decoder = nn.Linear(L, 2 * L), nn.Linear(L, D)

    def forward(self, x):
        mu1, lv1 = self.first(x).chunk(2, -1)
        z1 = draw(mu1, lv1)
        mu2, lv2 = self.second(z1).chunk(2, -1)
        m, v = self.prior(draw(mu2, lv2)).chunk(2, -1)
        kl1 = 0.5 * (((mu1 - m) ** 2 + lv1.exp()) / v.exp() - 1 - lv1 + v).sum(1).mean()
        recon = self.decoder(mu1 if self.wrong == "mean" else z1)
        return {
            "dict": {"recon": recon, "mu": mu2, "logvar": lv2, "kl1": kl1},
            "loss": {"recon": recon, "mu": mu2, "logvar": lv2, "loss": squares(recon, x) + kl1 + kl(mu2, lv2)},
            "pairs": (recon, [(mu2, lv2), (mu1, lv1)], kl1),
        }[self.form]


def hierarchical(model, x):
    out = model(x)
    if model.form == "loss":
        return out["loss"]
    if model.form == "pairs":
        return squares(out[0], x) + out[2] + kl(*out[1][0])
    return squares(out["recon"], x) + out["kl1"] + kl(out["mu"], out["logvar"])


class WithPrior(nn.Module):
    """z2 -> z1 -> x with the pair of p(z1|z2) beside those of q, in several forms; or z1 alone with a p(z1|x)."""

    def __init__(self, form):
        super().__init__()
        self.form = form
        self.first, self.second = nn.Linear(D, 2 * L), nn.Linear(L, 2 * L)
        self.prior, self.decoder = nn.Linear(L, 2 * L), nn.Linear(L, D)

    def parts(self, x):
        one = self.first(x).chunk(2, -1)
        z1 = draw(*one)
        two = self.second(z1).chunk(2, -1)
        return self.decoder(z1), one, two, self.prior(x[:, :L] if "alone" in self.form else draw(*two)).chunk(2, -1)

    def forward(self, x):
        recon, one, two, prior = self.parts(x)
        return {
            "a list and a pair": (recon, [one, two], prior),
            "three pairs": (recon, one, two, prior),
            "z1 alone": (recon, one, prior),
        }[self.form]


def from_prior(model, x):
    out = model(x)
    one, two = out[1] if isinstance(out[1], list) else (out[1], out[2])
    (mu, lv), (m, v) = one, out[-1]
    kl1 = 0.5 * (((mu - m) ** 2 + lv.exp()) / v.exp() - 1 - lv + v).sum(1).mean()
    return squares(out[0], x) + kl1 + (0 if "alone" in model.form else kl(*two))


class Pairs(nn.Module):
    """Two levels side by side, each with a prior of N(0, I); ``form`` is how they are returned."""

    def __init__(self, form="pairs", wrong=""):
        super().__init__()
        self.form, self.wrong = form, wrong
        self.first, self.second, self.decoder = nn.Linear(D, 2 * L), nn.Linear(D, 6), nn.Linear(L + 3, D)

    def forward(self, x):
        one, two = self.first(x).chunk(2, -1), self.second(x).chunk(2, -1)
        z2 = two[0] if self.wrong == "mean" else draw(*two)
        z2 = torch.randn_like(z2) if self.wrong == "unread" else z2
        recon = self.decoder(torch.cat([draw(*one), z2], -1))
        return {
            "pairs": (recon, [one, two]),
            "beside": (recon, one, two),
            "lists": (recon, [one[0], two[0]], [one[1], two[1]]),
            "names": {"recon": recon, "mus": [one[0], two[0]], "logvars": [one[1], two[1]]},
        }[self.form]


def of_pairs(model, x, sign=1.0):
    out = model(x)
    recon = out["recon"] if isinstance(out, dict) else out[0]
    one, two = {
        "pairs": lambda: out[1],
        "beside": lambda: out[1:],
        "lists": lambda: zip(*out[1:], strict=True),
        "names": lambda: zip(out["mus"], out["logvars"], strict=True),
    }[model.form]()
    return squares(recon, x) + kl(*one) + sign * kl(*two)


class Words(nn.Module):
    """A sentence VAE: the decoder is told z and predicts every word on its own."""

    def __init__(self):
        super().__init__()
        self.embed, self.encoder = nn.Embedding(7, 8), nn.GRU(8, 8, batch_first=True)
        self.head, self.decoder = nn.Linear(8, 2 * L), nn.Linear(L, 6 * 7)

    def forward(self, x):
        mu, logvar = self.head(self.encoder(self.embed(x))[1][0]).chunk(2, -1)
        return self.decoder(draw(mu, logvar)).view(len(x), -1, 7), mu, logvar


def entropy(smoothing, model, x):
    recon, mu, logvar = model(x)
    nats = F.cross_entropy(recon.flatten(0, 1), x.flatten(), label_smoothing=smoothing, reduction="sum") / len(x)
    return nats + kl(mu, logvar)


class Lightning(Vae):
    """``training_step(batch)`` as in Lightning, with counters, logs and a buffer that forward binds anew."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.steps, self.logs, self.last = 0, [], None

    def forward(self, x):
        self.seen = self.seen + len(x)
        self.steps += 1
        self.last = x
        return super().forward(x)

    def training_step(self, batch):
        self.logs.append(len(batch))
        return {"loss": loss(self, batch)}


class Lazy(Vae):
    """Calls a part of itself that another level of a decorator caches."""

    def answer(self, recon, mu, logvar):
        return recon.sigmoid().clamp(1e-6, 1 - 1e-6), mu, logvar


def own_bits(model, x):
    recon, mu, logvar = model(x)
    return F.binary_cross_entropy(recon, x, reduction="sum") / len(x) + kl(mu, logvar)


class Skip(Vae):
    """The decoder reads the features that mu is made of, round z."""

    def __init__(self):
        super().__init__()
        self.body, self.encoder, self.decoder = nn.Linear(D, 8), nn.Linear(8, 2 * L), nn.Linear(8, D)

    def forward(self, x):
        h = self.body(x).tanh()
        mu, logvar = self.encoder(h).chunk(2, -1)
        return self.decoder(h), mu, logvar


class Changed(Vae):
    """Wrong in how z is made of mu and logvar."""

    def __init__(self, sample):
        super().__init__()
        self.sample = sample


def numbers():
    g = torch.Generator().manual_seed(0)
    return 4 * torch.randn(N, 2, generator=g) @ torch.randn(2, D, generator=g)


def ones():
    return (numbers() > 0).float()


def pictures():
    return torch.randn(N, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def sentences():
    return torch.randint(0, 7, (N, 6), generator=torch.Generator().manual_seed(0))


def labelled():
    return numbers(), torch.arange(N) % 3


def weighted(of, c=1.0, w=1.0):
    def made(model, x):
        recon, mu, logvar = model(x)[:3]
        return w * of(recon, x) + c * kl(mu, logvar)

    return made


def _summed(model, x):
    recon, mu, logvar = model(x)
    return squares(recon, x) + len(x) * kl(mu, logvar)


RIGHT = {
    "plain": lambda: (Vae(), loss, numbers()),
    "bits": lambda: (Vae(), bits, ones()),
    "probabilities, clamped": lambda: (Lazy(), own_bits, ones()),
    "last layer of 0": lambda: (Zeroed(), loss, numbers()),
    "heads and last layer of 0": lambda: (Zeroed(heads=True), loss, numbers()),
    "a gate of 0": lambda: (Gated(), loss, numbers()),
    "copies": lambda: (Copied("clone"), loss, numbers()),
    "views": lambda: (Copied("view"), loss, numbers()),
    "other precision": lambda: (Copied("double"), loss, numbers()),
    "sigma by a softplus": lambda: (Scaled(), loss, numbers()),
    "autocast": lambda: (Cast(), loss, numbers()),
    "checkpoint": lambda: (Checkpointed(), loss, numbers()),
    "names": lambda: (Spoken(), by_name, numbers()),
    "labels": lambda: (Labelled(), conditional, labelled()),
    "images": lambda: (Images(False), loss, pictures()),
    "images, z a map": lambda: (Images(True), loss, pictures()),
    **{f"VQ-VAE: {form}": lambda form=form: (Quantised(form), commitment, numbers()) for form in FORMS},
    "an autoencoder": lambda: (Plain(), cycle, numbers()),
    "hierarchy": lambda: (Levels(), hierarchical, numbers() / 4),
    "hierarchy with its loss": lambda: (Levels("loss"), hierarchical, numbers() / 4),
    "hierarchy of pairs": lambda: (Levels("pairs"), hierarchical, numbers() / 4),
    **{
        f"levels: {form}": lambda form=form: (Pairs(form), of_pairs, numbers() / 4)
        for form in ("pairs", "beside", "lists", "names")
    },
    **{
        f"a prior beside q: {form}": lambda form=form: (WithPrior(form), from_prior, numbers() / 4)
        for form in ("a list and a pair", "three pairs", "z1 alone")
    },
    "words": lambda: (Words(), lambda m, x: entropy(0.0, m, x), sentences()),
    "words, smoothed": lambda: (Words(), lambda m, x: entropy(0.1, m, x), sentences()),
    "bits, smoothed": lambda: (Vae(), lambda m, x: bits(m, 0.9 * x + 0.05), ones()),
    "Lightning": lambda: (Lightning(), lambda m, x: m.training_step(x), numbers()),
    "bfloat16": lambda: (Vae().bfloat16(), loss, numbers().bfloat16()),
    "double": lambda: (Vae().double(), loss, numbers().double()),
    "one example": lambda: (Vae(), loss, numbers()[:1]),
    "a normal's log_prob": lambda: (
        Vae(),
        weighted(lambda r, x: -torch.distributions.Normal(r, 1.0).log_prob(x).sum(1).mean()),
        numbers(),
    ),
    "clipped for safety": lambda: (
        Changed(lambda mu, lv: mu + torch.randn_like(mu) * (lv.clamp(-10, 10) / 2).exp()), loss, numbers()
    ),
}  # fmt: skip

WRONG = {
    "mean": ("loss-reduction", lambda: (Vae(), weighted(F.mse_loss), numbers())),
    "subtracted": ("kl-sign", lambda: (Vae(), weighted(squares, -1.0), numbers())),
    "sum beside mean": ("batch-dependence", lambda: (Vae(), _summed, numbers())),
    "no sample": ("no-sampling", lambda: (Changed(lambda mu, lv: mu), loss, numbers())),
    "no sample, last layer of 0": ("no-sampling", lambda: (_unsampled(), loss, numbers())),
    "sigma": (
        "sampling-noise", lambda: (Changed(lambda mu, lv: mu + torch.randn_like(mu) * lv.exp()), loss, numbers())
    ),
    "detached": ("z-unreached", lambda: (Changed(lambda mu, lv: draw(mu, lv).detach()), loss, numbers())),
    "logvar detached": ("z-unreached", lambda: (Changed(lambda mu, lv: draw(mu, lv.detach())), loss, numbers())),
    "overwritten": ("z-unreached", lambda: (Changed(lambda mu, lv: torch.randn_like(mu)), loss, numbers())),
    "times 0": ("z-unreached", lambda: (Changed(lambda mu, lv: 0 * draw(mu, lv)), loss, numbers())),
    "round z": ("z-unreached", lambda: (Skip(), loss, numbers())),
    "a sigmoid twice, clamped": ("double-activation", lambda: (Lazy(), bits, ones())),
    **{
        f"VQ-VAE without straight-through: {form}": (
            "straight-through", lambda form=form: (Quantised(form, straight=False), commitment, numbers())
        )
        for form in ("indices, commitment", "loss, perplexity", "names", "z_e, code")
    },
    "levels, one unread": ("z-unreached", lambda: (Pairs(wrong="unread"), of_pairs, numbers())),
    "levels, one subtracted": ("kl-sign", lambda: (Pairs("lists"), lambda m, x: of_pairs(m, x, -1.0), numbers())),
    "words, mean": (
        "loss-reduction",
        lambda: (Words(), weighted(lambda r, x: F.cross_entropy(r.flatten(0, 1), x.flatten())), sentences()),
    ),
    "images, mean": ("loss-reduction", lambda: (Images(False), weighted(F.mse_loss), pictures())),
    "bfloat16, mean": ("loss-reduction", lambda: (Vae().bfloat16(), weighted(F.mse_loss), numbers().bfloat16())),
    "KL without mu": ("kl-missing", lambda: (Vae(), lambda m, x: _without_mean(m, x), numbers())),
    "not finite": ("kl-sign", lambda: (_broken(), weighted(squares, -1.0), numbers())),
}  # fmt: skip


def _unsampled():
    model = Zeroed()
    model.sample = lambda mu, logvar: mu
    return model


def _broken():
    model = Vae()
    nn.init.constant_(model.encoder.weight, float("nan"))
    return model


def _without_mean(model, x):
    recon, mu, logvar = model(x)
    return squares(recon, x) + kl(mu.detach(), logvar)
