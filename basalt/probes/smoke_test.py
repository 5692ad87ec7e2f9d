"""The smoke test of the probes: one small autoencoder on a trained policy, one on an untrained one."""

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from basalt.data.episodes import Episode
from basalt.io.claims import make_folder
from basalt.policies.imitation import encode_episodes
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.activations import collect, stream
from basalt.probes.hooks.patching import Variant, constant, run_patched
from basalt.probes.sae.files import SAEInfo, save_sae
from basalt.probes.sae.model import SAE
from basalt.probes.sae.training import train_sae, train_saes
from basalt.probes.settings import SmokeTestConfig
from basalt.probes.smoke_record import LABEL, PatchedLosses, SmokeMetrics, SmokeReport
from basalt.probes.subject import load_subject
from basalt.probes.suite.metrics import reconstruction


def smoke_test(cfg: SmokeTestConfig) -> SmokeReport:
    """Train an SAE on the activations of the training episodes and measure it on held-out episodes.

    A second SAE is trained in the same way on the network before training (random weights, heads at
    the frequencies of the actions). A metric on which both agree says nothing about training.

    Writes `report.json` and both autoencoders to `cfg.out`.

    Raises:
        BasaltError: the checkpoint, data or hook point is missing, or no episode is held out.
    """
    began = time.monotonic()
    subject = load_subject(cfg.checkpoint, cfg.data, cfg.device)
    training, held_out = subject.training, subject.held_out
    # Both networks know the frequencies of the actions, so that their losses are comparable.
    networks = (subject.policy, subject.untrained(cfg.sae.seed))
    (sae, trained), (control, random) = (
        _probe(network, training, held_out, cfg) for network in networks
    )
    report = SmokeReport(
        label=LABEL,
        hook_point=cfg.site,
        checkpoint=cfg.checkpoint,
        config=cfg.sae,
        training_frames=sum(map(len, training)),
        held_out_frames=sum(map(len, held_out)),
        held_out_episodes=tuple(episode.name for episode in held_out),
        trained=trained,
        random_network=random,
        seconds=time.monotonic() - began,
    )
    if cfg.out is not None:
        out = Path(cfg.out)
        make_folder(out, "smoke test")
        for network, one in (("trained", sae), ("random-network", control)):
            info = SAEInfo(hook_point=cfg.site, checkpoint=cfg.checkpoint, network=network)
            save_sae(out / f"sae-{network}", one, info)
        report.write(out / "report.json")
    return report


def _probe(
    policy: VPTPolicy,
    training: Sequence[Episode],
    held_out: Sequence[Episode],
    cfg: SmokeTestConfig,
) -> tuple[SAE, SmokeMetrics]:
    """One network's autoencoder and its metrics."""
    config = cfg.sae
    if cfg.pool:
        batches = stream(policy, training, cfg.site, config.batch, pool=cfg.pool, seed=config.seed)
        seen = torch.cat(list(islice(batches, max(cfg.pool // 2 // config.batch, 1))))
        (sae,) = train_saes(batches, seen, None, [config])
    else:
        seen = collect(policy, training, [cfg.site]).values[cfg.site]
        sae = train_sae(seen, config)
    held_out = encode_episodes(policy, held_out)
    activations = collect(policy, held_out, [cfg.site])
    rebuilt = reconstruction(sae, activations.values[cfg.site], activations.episode).metrics()
    losses = patched_losses(policy, held_out, cfg.site, sae.to(policy.device), seen.mean(0))
    return sae.cpu(), SmokeMetrics(**dict(rebuilt), **dict(losses))


def patched_losses(
    policy: VPTPolicy,
    episodes: Sequence[Episode],
    hook_point: str,
    sae: SAE,
    mean: Tensor,
) -> PatchedLosses:
    """Behavioural-cloning loss with the activation replaced by its reconstruction, zeros and its mean.

    Args:
        policy: Policy in evaluation mode.
        episodes: Held-out episodes; encoded ones (`basalt.policies.imitation.encode_episodes`) save time.
        hook_point: Name of the hook point.
        sae: Autoencoder of that hook point, on the policy's device.
        mean: Mean activation on training episodes, float [d].
    """
    variants = {
        "patched": Variant(hook_point, sae),
        "zero": Variant(hook_point, torch.zeros_like),
        "mean": Variant(hook_point, constant(mean)),
    }
    run = run_patched(policy, episodes, variants)
    frames = run.frames.sum()
    losses = {f"loss_{name}": float(run.sums[name][:, 0].sum() / frames) for name in variants}
    return PatchedLosses(
        loss_clean=run.clean_loss,
        **losses,
        loss_change=run.metrics("patched").loss_change,
        loss_recovered=run.loss_recovered("patched", "zero").value,
    )
