"""The training loop: one autoencoder or several, in one pass over the activations."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from basalt.core.registry import load
from basalt.io.console import progress_bar
from basalt.io.errors import ConfigError
from basalt.probes.sae.base import TrainingSAE
from basalt.probes.sae.config import ARCHITECTURES, SAEConfig
from basalt.probes.sae.model import SAE

_LR_WARMUP = 0.1


def new_training(d_in: int, config: SAEConfig) -> TrainingSAE:
    """A fresh autoencoder of the configured architecture for activations of width d_in."""
    training: TrainingSAE = load(ARCHITECTURES.get(config.architecture).training)(d_in, config)
    return training


class Trainer:
    """One autoencoder and its optimizer; `step` takes a batch.

    Args:
        config: Settings of the training.
        first: Raw activations [n, d] from which biases are initialised.
        scale: Number by which activations are divided.
    """

    def __init__(self, config: SAEConfig, first: Tensor, scale: float) -> None:
        self.config = config
        self.scale = scale
        self.steps_done = 0
        # Drawn on the CPU, so that a seed gives the same weights on every device.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.sae = new_training(first.shape[1], config)
        self.sae.initialise(first.float().cpu() / scale)
        self.sae.to(first.device)
        self.optimizer = torch.optim.Adam(
            self.sae.parameters(), lr=config.lr, betas=(0.0, 0.999), fused=True
        )
        self.since_fired = torch.zeros(config.width, dtype=torch.long, device=first.device)
        half = config.steps // 2
        resamples = ARCHITECTURES.get(config.architecture).resamples
        count = config.resample if resamples else 0
        self._resample_at = {round((i + 1) * half / count) for i in range(count)}

    def step(self, x: Tensor) -> None:
        """Take one optimizer step on raw activations [B, d]."""
        config, sae = self.config, self.sae
        x = x.float() / self.scale
        done = (self.steps_done + 1) / config.steps
        progress = min(1.0, done / max(config.warmup, 1e-9))
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * _rate(done, config.decay)
        objective = sae.objective(x, self.since_fired > config.dead_after, progress)
        self.optimizer.zero_grad(set_to_none=True)
        objective.loss.backward()
        sae.project_decoder_gradient()
        nn.utils.clip_grad_norm_(sae.parameters(), config.grad_clip)
        self.optimizer.step()
        sae.after_step(float(objective.l0.detach()), progress)
        self.since_fired = (self.since_fired + len(x)).masked_fill(objective.fired, 0)
        self.steps_done += 1
        if self.steps_done in self._resample_at:
            self._resample(x)

    @torch.no_grad()
    def _resample(self, x: Tensor) -> None:
        """Re-initialise dead latents on activations with a large error (Bricken et al. 2023)."""
        sae = self.sae
        dead = (self.since_fired > self.config.dead_after).nonzero()[:, 0]
        if not len(dead):
            return
        error = x - sae.folded(1.0).to(x.device)(x)
        weight = error.square().sum(1).square().cpu()
        generator = torch.Generator().manual_seed(self.config.seed + self.steps_done)
        chosen = torch.multinomial(weight + 1e-12, len(dead), replacement=True, generator=generator)
        direction = error[chosen.to(x.device)]
        direction = direction / direction.norm(dim=1, keepdim=True).clamp(min=1e-12)
        alive = torch.ones_like(self.since_fired, dtype=torch.bool)
        alive[dead] = False
        size = sae.W_enc[alive].norm(dim=1).mean() if alive.any() else sae.W_enc.norm(dim=1).mean()
        sae.W_dec[dead] = direction
        sae.W_enc[dead] = 0.2 * size * direction
        for name, parameter in sae.named_parameters():
            if name == "b_dec":
                continue  # not a per-latent parameter, though it may have the same length
            if parameter.dim() == 1:
                parameter[dead] = 0.0
            for moment in ("exp_avg", "exp_avg_sq"):
                self.optimizer.state[parameter][moment][dead] = 0.0
        self.since_fired[dead] = 0

    def finish(self) -> SAE:
        """The trained autoencoder for raw activations, on the CPU."""
        return self.sae.cpu().folded(self.scale)


def _rate(done: float, decay: float) -> float:
    """Factor of the step size: rises over the first tenth, falls to 0 over the last `decay`."""
    up = min(1.0, 0.1 + 0.9 * done / _LR_WARMUP)
    return up if decay == 0 else min(up, max((1 - done) / decay, 0.0))


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: with matrices this small, threads wait for each other longer than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_sae(activations: Tensor, config: SAEConfig) -> SAE:
    """Train on raw activations [n, d] in memory, in random order over all episodes.

    Raises:
        ConfigError: see `check_activations`.
    """
    batches = (activations[rows] for rows in _shuffled(len(activations), config))
    (sae,) = train_saes(batches, activations, None, [config])
    return sae


def train_saes(
    batches: Iterable[Tensor],
    first: Tensor,
    scale: float | None,
    configs: Sequence[SAEConfig],
) -> list[SAE]:
    """Several autoencoders in one pass over batches; each stops after its own `steps`.

    Args:
        batches: Raw activations [B, d] in random order, such as an activation store's.
        first: Raw activations [n, d] from which biases are initialised.
        scale: Root mean square length of the activations; None measures it on `first`.
        configs: Settings of each autoencoder.

    Raises:
        ConfigError: too few batches, or values that are NaN or infinite.
    """
    check_activations(first)
    scale = float(first.square().sum(1).mean().sqrt()) if scale is None else scale
    trainers = [Trainer(config, first, scale) for config in configs]
    longest = max(config.steps for config in configs)
    done = 0
    with (
        one_thread(),
        progress_bar(total=longest, title="training", unit="step") as bar,
    ):
        for batch in batches:
            if done == longest:
                break
            if not batch.isfinite().all():
                raise ConfigError(f"sae: batch {done} has NaN or infinite activations")
            for trainer in trainers:
                if done < trainer.config.steps:
                    trainer.step(batch)
            done += 1
            bar.update()
    if done < longest:
        raise ConfigError(
            f"sae: expected {longest} batches, got {done}; use more recordings or fewer steps"
        )
    return [trainer.finish() for trainer in trainers]


def _shuffled(n: int, config: SAEConfig) -> Iterator[Tensor]:
    """Row numbers int64 [batch], `steps` times; each row is used once before any is repeated."""
    generator = torch.Generator().manual_seed(config.seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(config.steps):
        while len(order) < config.batch:
            order = torch.cat([order, torch.randperm(n, generator=generator)])
        yield order[: config.batch]
        order = order[config.batch :]


def check_activations(activations: Tensor) -> None:
    """Refuse activations that no autoencoder can be trained on.

    Raises:
        ConfigError: the shape is not [n, d] with n >= 2, values are NaN or infinite, or all rows are equal.
    """
    if activations.dim() != 2 or len(activations) < 2:
        raise ConfigError(
            f"sae: expected activations [n, d] with n >= 2, got shape {list(activations.shape)}"
        )
    finite = activations.isfinite().all(1)
    if not finite.all():
        bad = int((~finite).sum())
        raise ConfigError(
            f"sae: {bad} of {len(activations)} activations are NaN or infinite, "
            f"the first in row {int((~finite).nonzero()[0, 0])}"
        )
    if bool((activations == activations[0]).all()):
        raise ConfigError("sae: all activations are equal; there is nothing to reconstruct")
