r"""A small class-conditional DCGAN: the adversarial model that samples are compared with, in place of BigGAN.

$$ L_D = E\, \zeta(-D(x, y)) + E\, \zeta(D(G(u, y), y)) + \tfrac{\gamma}{2} E \lVert \nabla_x D(x, y) \rVert^2, \qquad
   L_G = E\, \zeta(-D(G(u, y), y)) $$

$$ D(x, y) = w \cdot \phi(x) + e_y \cdot \phi(x) $$

with softplus as zeta (the non-saturating loss), u normal, and gamma = 1. All weights start small, those of a class too:
where the vectors of classes are as large as u from the start, G was seen to ignore u and to draw one image of each
class. BigGAN needs hundreds of accelerators; this is its idea at the size of the models it is compared with: a class
embedding into the generator, a projection on the class in the discriminator.

Source: Radford, Metz and Chintala, Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
Networks, 2016; the projection: Miyato and Koyama, cGANs with Projection Discriminator, 2018; the penalty on slopes:
Mescheder, Geiger and Nowozin, Which Training Methods for GANs do actually Converge?, 2018. Ours: no batch normalisation
in D.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ConditionalGenerator", "train_dcgan"]

CODE, PENALTY = 64, 1.0
"""Numbers in u; gamma."""


class ConditionalGenerator(nn.Module):
    """u and a class -> an image with values from 0 to 1.

    Args:
        classes: Number of classes.
        size: (C, H, W).
        width: Channels of the last hidden map; the first has twice as many.

    Example:
        >>> ConditionalGenerator(10, (1, 28, 28)).eval().draw(torch.arange(3)).shape
        torch.Size([3, 1, 28, 28])
    """

    def __init__(self, classes: int, size: tuple[int, int, int], width: int = 32) -> None:
        super().__init__()
        self.size, self.small = size, (2 * width, -(-size[1] // 4), -(-size[2] // 4))
        self.embed = nn.Embedding(classes, CODE)
        self.lift = nn.Linear(2 * CODE, torch.Size(self.small).numel())
        self.net = nn.Sequential(
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, size[0], 4, stride=2, padding=1),
            nn.Sigmoid(),
        )

    def forward(self, u: Float[Tensor, "N U"], labels: Int[Tensor, " N"]) -> Float[Tensor, "N C H W"]:
        """The images."""
        maps = self.lift(torch.cat([u, self.embed(labels)], 1)).view(-1, *self.small)
        return self.net(maps)[..., : self.size[1], : self.size[2]]

    @torch.no_grad()
    def draw(self, labels: Int[Tensor, " N"]) -> Float[Tensor, "N C H W"]:
        """An image of each class asked for."""
        return torch.cat([self(torch.randn(len(part), CODE), part) for part in labels.split(500)])


class _Discriminator(nn.Module):
    def __init__(self, classes: int, size: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(size[0], width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        features = self.body(torch.zeros(1, *size)).shape[1]
        self.out, self.embed = nn.Linear(features, 1), nn.Embedding(classes, features)

    def forward(self, images: Float[Tensor, "N C H W"], labels: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
        seen = self.body(2 * images - 1)
        return self.out(seen).squeeze(1) + (seen * self.embed(labels)).sum(1)


def _start(module: nn.Module) -> None:
    """Weights as small as in the paper."""
    if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)


def train_dcgan(
    images: Float[Tensor, "N C H W"],
    labels: Int[Tensor, " N"],
    classes: int,
    *,
    steps: int,
    batch_size: int,
    width: int = 32,
    seed: int = 0,
) -> ConditionalGenerator:
    """A trained generator; the global random state is kept.

    Args:
        images: Values from 0 to 1.
        labels: Their classes.
        classes: Number of classes.
        steps: Of both networks, one of each at a time.
        batch_size: Images in a step.
        width: Of both networks.
        seed: Of weights, order and noise.

    Example:
        >>> images, labels = torch.rand(20, 1, 8, 8), torch.arange(20) % 2
        >>> train_dcgan(images, labels, 2, steps=2, batch_size=4, width=2).draw(torch.tensor([0, 1])).shape
        torch.Size([2, 1, 8, 8])
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        size = (images.shape[1], images.shape[2], images.shape[3])
        generator, critic = ConditionalGenerator(classes, size, width), _Discriminator(classes, size, width)
        for network in (generator, critic):
            network.apply(_start)
        makes, judges = (torch.optim.Adam(m.parameters(), lr=5e-4, betas=(0.5, 0.99)) for m in (generator, critic))
        for _ in range(steps):
            index = torch.randint(len(images), (batch_size,))
            y = labels[index]
            made = generator(torch.randn(batch_size, CODE), y)
            judges.zero_grad()
            real = images[index].requires_grad_()
            scores = critic(real, y)
            (slope,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
            steep = PENALTY / 2 * slope.square().flatten(1).sum(1)
            (F.softplus(-scores) + F.softplus(critic(made.detach(), y)) + steep).mean().backward()
            judges.step()
            makes.zero_grad()
            F.softplus(-critic(made, y)).mean().backward()
            makes.step()
    return generator.eval()
