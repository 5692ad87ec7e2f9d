"""Steering: a latent is ablated, scaled or clamped, and the rest of the policy runs on the result.

On recordings, the change of the policy's choices is measured; in the world, the change of its telemetry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor

from basalt.core.actions import N_CAMERA_BINS
from basalt.core.recording import Recording, find_recordings
from basalt.core.telemetry import Telemetry
from basalt.data.episodes import Episode
from basalt.io.errors import ConfigError
from basalt.policies.imitation import TensorBatch, encode_episodes
from basalt.policies.vpt import PolicyOutput, VPTPolicy
from basalt.probes.hooks.patching import Comparison, Variant, run_patched
from basalt.probes.hooks.points import hook_point
from basalt.probes.records import Estimate, Part, ProbeRecord, number
from basalt.probes.sae.model import SAE
from basalt.probes.settings import LatentConfig, SteeredConfig
from basalt.probes.subject import load_sae_of, load_subject
from basalt.probes.suite.effects import LOG_ODDS, MEASURES, measures

MODES = ("clamp", "scale", "add")


@dataclass(frozen=True)
class Steering:
    """A change of one latent; what the autoencoder does not explain is unchanged.

    Attributes:
        hook_point: Name of the hook point.
        sae: Autoencoder of that hook point, on the policy's device.
        latent: Number of the latent.
        value: Number that `mode` uses.
        mode: `clamp` sets the latent to `value` at every frame (0 ablates it), `scale` multiplies it by
            `value`, `add` adds `value`.
        direction: Direction to move along, float [width]; None for the latent's own.

    Raises:
        ConfigError: unknown mode, no such latent, or a value that is not finite.
    """

    hook_point: str
    sae: SAE
    latent: int
    value: float
    mode: str = "clamp"
    direction: Tensor | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ConfigError(f"steer: expected mode {', '.join(MODES)}, got {self.mode!r}")
        width = self.sae.W_dec.shape[0]
        if not 0 <= self.latent < width:
            raise ConfigError(f"steer: expected a latent from 0 to {width - 1}, got {self.latent}")
        if not np.isfinite(self.value):
            raise ConfigError(f"steer: expected a finite value, got {self.value}")

    def __call__(self, x: Tensor) -> Tensor:
        """The activations [B, T, width] with the latent changed."""
        f = self.sae.encode(x)[..., [self.latent]]
        if self.mode == "clamp":
            change = self.value - f
        elif self.mode == "scale":
            change = (self.value - 1) * f
        else:
            change = torch.full_like(f, self.value)
        direction = self.sae.W_dec[self.latent] if self.direction is None else self.direction
        return x + change * direction

    def at_random(self, seed: int = 0) -> "Steering":
        """The control: the same change at the same frames, but along a random direction."""
        own = self.sae.W_dec[self.latent]
        generator = torch.Generator().manual_seed(seed)
        direction = torch.randn(own.shape, generator=generator).to(own)
        direction = direction / direction.norm() * own.norm()
        return Steering(self.hook_point, self.sae, self.latent, self.value, self.mode, direction)


def read_steering(
    asked: Sequence[Any], sae: str | Path | None, policy: VPTPolicy, along: str = "latent"
) -> Steering:
    """Read the settings `steer`, `sae` and `along`.

    Args:
        asked: [hook point, latent, value] or [hook point, latent, value, mode].
        sae: Folder of an autoencoder, `SUITE/saes/HOOK_POINT/NAME`.
        policy: Policy to steer.
        along: `latent` for the latent's own direction, `random` for the control (`Steering.at_random`).

    Raises:
        ConfigError: a setting is not valid, or the autoencoder does not fit the policy.
    """
    if not 3 <= len(asked) <= 4:
        raise ConfigError(
            f"steer: expected [site,latent,value] or [site,latent,value,mode], got {list(asked)!r}"
        )
    name, latent, value, mode = [*asked, "clamp"][:4]
    if isinstance(latent, bool) or not isinstance(latent, int):
        raise ConfigError(f"steer: expected an integer as latent, got {latent!r}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"steer: expected a number as value, got {value!r}")
    if along not in ("latent", "random"):
        raise ConfigError(f"along: expected latent or random, got {along!r}")
    hook_point(policy, str(name))
    if sae is None:
        raise ConfigError(
            "sae: expected the autoencoder of the latent; add sae=SUITE/saes/SITE/NAME"
        )
    _, loaded = load_sae_of(policy, sae, str(name))
    steering = Steering(str(name), loaded, latent, float(value), str(mode))
    return steering if along == "latent" else steering.at_random()


class MeasureChange(Part):
    """Mean change of one measure of the policy's choices while a latent is steered.

    Attributes:
        name: One of `suite.effects.MEASURES`.
        change: Change over all frames.
        random_direction: Change under the control, a random direction of equal size.
    """

    name: str
    change: Estimate
    random_direction: float


class SteeringReport(ProbeRecord):
    """What steering a latent changes on recordings.

    Attributes:
        measures: Changes of the log-odds of buttons and ESC, largest first.
        camera: [11][11] (pitch, yaw) changes of the log-probabilities of the camera bins.
        frames, episodes: What was measured on.
        steer: Steering as it was asked for.
        sae: Folder of the autoencoder.
    """

    FORMAT: ClassVar[str] = "basalt-steering"

    measures: tuple[MeasureChange, ...]
    camera: tuple[tuple[float, ...], ...]
    frames: int
    episodes: int
    steer: tuple[str | int | float, ...] = ()
    sae: str = ""

    def lines(self) -> list[str]:
        """The twelve largest changes."""
        found = [
            f"change of log-odds over {self.frames} held-out frames, {self.episodes} episodes",
            f"{'':<12}{'change':>9}{'95%':>22}{'random direction':>18}",
        ]
        for row in self.measures[:12]:
            change, ends = number(row.change.value, "+.4f"), row.change.range_text("+.4f")
            found.append(f"{row.name:<12}{change:>9}{ends:>22}{row.random_direction:>+18.4f}")
        return found


def change_of_choices(
    policy: VPTPolicy, episodes: Sequence[Episode], steering: Steering
) -> SteeringReport:
    """Mean change of every measure of `basalt.probes.suite.effects` over held-out recordings.

    Args:
        policy: Policy in evaluation mode.
        episodes: Held-out episodes.
        steering: Change to measure; its control is measured beside it.
    """

    def moved(clean: PolicyOutput, _labels: TensorBatch) -> Comparison:
        before = measures(clean)
        return lambda output: measures(output) - before

    variants = {
        "steered": Variant(steering.hook_point, steering),
        "random": Variant(steering.hook_point, steering.at_random()),
    }
    frames, _, sums = run_patched(policy, episodes, variants, moved)
    total = frames.sum()
    change = sums["steered"].sum(0) / total
    listed = [
        MeasureChange(
            name=MEASURES[m],
            change=Estimate.ratio(sums["steered"][:, m], frames),
            random_direction=float(sums["random"][:, m].sum() / total),
        )
        for m in range(LOG_ODDS)
    ]
    return SteeringReport(
        measures=tuple(sorted(listed, key=lambda row: -abs(row.change.value or 0))),
        camera=tuple(map(tuple, change[LOG_ODDS:].reshape(N_CAMERA_BINS, -1).tolist())),
        frames=int(total),
        episodes=len(episodes),
    )


def steer_on_recordings(cfg: LatentConfig) -> SteeringReport:
    """Run `basalt probe latent`: steer on held-out recordings and write the report to `cfg.out`.

    Raises:
        BasaltError: the checkpoint or data is missing, or the steering does not fit the policy.
    """
    subject = load_subject(cfg.checkpoint, cfg.data, cfg.device)
    steering = read_steering(cfg.steer, cfg.sae, subject.policy)
    episodes = encode_episodes(subject.policy, subject.held_out[: cfg.episodes])
    report = change_of_choices(subject.policy, episodes, steering)
    report = report.model_copy(update={"steer": tuple(cfg.steer), "sae": cfg.sae})
    return _written(report, cfg.out)


class ReadingChange(Part):
    """One reading of telemetry, averaged over seeds.

    Attributes:
        plain, steered: Means of the two policies.
        difference: Mean of steered - plain, seed by seed, with its interval over seeds.
    """

    plain: float
    steered: float
    difference: Estimate


class RolloutComparison(ProbeRecord):
    """A steered policy against the unsteered one in the world.

    Attributes:
        seeds: Seeds that both rollouts played.
        readings: Changes by name, `steering.READINGS`.
    """

    FORMAT: ClassVar[str] = "basalt-steered-rollouts"

    seeds: tuple[int, ...]
    readings: dict[str, ReadingChange]

    def lines(self) -> list[str]:
        """All readings."""
        found = [
            f"{'':<20}{'plain':>10}{'steered':>10}{'difference':>12}   95% over {len(self.seeds)} seeds"
        ]
        for name, row in self.readings.items():
            difference = number(row.difference.value, "+.2f")
            found.append(
                f"{name:<20}{row.plain:>10.2f}{row.steered:>10.2f}{difference:>12}   "
                f"{row.difference.range_text('+.2f') or 'too few seeds'}"
            )
        return found


Reading = Callable[[Sequence[Telemetry], str], float]

READINGS: dict[str, Reading] = {
    "steps": lambda states, _: len(states) - 1.0,
    "ended_by_esc": lambda _, ended: float(ended == "esc"),
    "distance_walked": lambda states, _: states[-1].distance_walked,
    "mean_pitch": lambda states, _: float(np.mean([s.pitch for s in states])),
    "share_looking_down": lambda states, _: float(np.mean([s.pitch > 30 for s in states])),
    "share_under_roof": lambda states, _: float(np.mean([s.under_roof for s in states])),
    "share_in_liquid": lambda states, _: float(np.mean([s.in_liquid for s in states])),
    "turned": lambda states, _: float(
        np.abs((np.diff([s.yaw for s in states]) + 180) % 360 - 180).mean()
    ),
    "share_in_cave": lambda states, _: float(
        np.mean([bool(s.facts.get("in_cave")) for s in states])
    ),
}
"""What is compared between rollouts, one number per episode: steps, nodes, degrees or shares."""


def compare_rollouts(plain: Path, steered: Path) -> RolloutComparison:
    """Compare a steered policy with the unsteered one, seed by seed.

    Args:
        plain: Folder of the rollout without steering.
        steered: Folder of a rollout on the same task, world and policy.

    Raises:
        ConfigError: the two have no seed in common.
    """
    found = [_readings(folder) for folder in (plain, steered)]
    seeds = sorted(found[0].keys() & found[1].keys())
    if not seeds:
        raise ConfigError(
            f"steered: expected seeds that are also in {plain}, found none in {steered}"
        )
    readings = {}
    for name in READINGS:
        a, b = ([run[seed][name] for seed in seeds] for run in found)
        change = [after - before for before, after in zip(a, b, strict=True)]
        readings[name] = ReadingChange(
            plain=float(np.mean(a)),
            steered=float(np.mean(b)),
            difference=Estimate.ratio(change, [1.0] * len(change)),
        )
    return RolloutComparison(seeds=tuple(seeds), readings=readings)


def compare_steered(cfg: SteeredConfig) -> RolloutComparison:
    """Run `basalt probe steered`: compare two rollouts and write the report to `cfg.out`.

    Raises:
        BasaltError: a folder has no recordings, or the two have no seed in common.
    """
    return _written(compare_rollouts(Path(cfg.plain), Path(cfg.steered)), cfg.out)


R = TypeVar("R", SteeringReport, RolloutComparison)


def _written(report: R, out: str | None) -> R:
    """The report, written to a file if one is given."""
    if out:
        report.write(Path(out))
    return report


def _readings(folder: Path) -> dict[int, dict[str, float]]:
    found = {}
    for recording in find_recordings(folder):
        meta = Recording.open(recording.stem).meta
        if meta is not None:
            states = recording.telemetry()
            found[meta.seed] = {name: read(states, meta.ended) for name, read in READINGS.items()}
    return found
