"""GANomaly: an image is anomalous if decoder and second encoder change its code."""

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from differnet_course.baselines.networks import NetworkDensity, decoder, encoder


@dataclasses.dataclass
class GANomaly(NetworkDensity):
    r"""Encoder, decoder, encoder, and a discriminator: x -> z -> x' -> z'.

    The score is :math:`\frac{1}{d}\lVert z - z' \rVert^2`. The generator minimises the squared
    distance of the discriminator's features of x and x', 50 x the mean absolute error of x', and
    the mean squared distance of z and z'. Made smaller: 16 channels in the first layer for 64;
    scores are not scaled over the test set, and a discriminator that wins is not restarted.

    References: Akcay, Atapour-Abarghouei, Breckon, ACCV 2018, arXiv 1805.06725.
    """

    learning_rate: float = 2e-4
    latent: int = 100

    def build(self, images: Tensor) -> nn.Module:
        """The generator's three networks and the discriminator."""
        encode = encoder(self.size, self.width, self.latent)
        decode = decoder(self.size, self.width, self.latent)
        encode_again = encoder(self.size, self.width, self.latent)
        judge = encoder(self.size, self.width, 1)
        networks = nn.ModuleList([encode, decode, encode_again, judge[:-1], judge[-1]])
        return networks.apply(_dcgan_init)

    def stepper(self) -> Callable[[Tensor, torch.Generator], None]:
        """One step of the generator, then one of the discriminator."""
        encode, decode, encode_again, features, verdict = self.network_.children()
        generator_adam = self._adam(encode, decode, encode_again)
        judge_adam = self._adam(features, verdict)

        def step(x: Tensor, generator: torch.Generator) -> None:
            z = encode(x)
            copy = decode(z)
            z_again = encode_again(copy)
            adversarial = F.mse_loss(features(copy), features(x).detach())
            loss = adversarial + 50 * F.l1_loss(copy, x) + F.mse_loss(z_again, z)
            generator_adam.zero_grad()
            loss.backward()
            generator_adam.step()

            real = verdict(features(x))
            fake = verdict(features(copy.detach()))
            judgement = F.softplus(-real).mean() + F.softplus(fake).mean()  # cross-entropy
            judge_adam.zero_grad()
            judgement.backward()
            judge_adam.step()

        return step

    def _adam(self, *networks: nn.Module) -> torch.optim.Adam:
        parameters = nn.ModuleList(networks).parameters()
        return torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999))

    def score_batch(self, x: Tensor) -> Tensor:
        encode, decode, encode_again, *_ = self.network_.children()
        z = encode(x)
        return (z - encode_again(decode(z))).double().square().flatten(1).mean(1)


def _dcgan_init(module: nn.Module) -> None:
    """Normal weights of deviation 0.02, the start that adversarial training was tuned with."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
