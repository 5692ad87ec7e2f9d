"""The suite: autoencoders on every hook point of a policy, trained and measured.

    OUT/config.json                          what the suite is about (`records.SuiteSettings`)
    OUT/activations/                         activations of the policy
    OUT/activations-random/                  activations of the network before training
    OUT/saes/HOOK_POINT/ARCH-wWIDTH-l0L0/    one autoencoder: weights, cfg.json, metrics.json, latents.json,
                                             effects.npy (float16 [M, 142], columns `effects.MEASURES`)
    OUT/saes/HOOK_POINT/site.json            ablations and controls (`records.HookPointResult`)
    OUT/report.json, README.md, pareto.png, pareto-kl.png

Every step writes a file and is skipped if that file exists. An interrupted suite is therefore resumed by
the same command, a larger one extends a smaller one, and jobs for different hook points may run at once.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from basalt.io.atomic import remove_leftovers
from basalt.io.console import note, progress_bar
from basalt.io.errors import BusyError, ConfigError
from basalt.io.locks import locked, sole_writer
from basalt.policies.vpt import VPTPolicy
from basalt.probes.hooks.points import hook_point
from basalt.probes.hooks.store import ActivationStore, evenly_spaced, write_store
from basalt.probes.records import SuiteReport, SuiteSettings
from basalt.probes.sae.config import SAEConfig
from basalt.probes.sae.files import SAEInfo, save_sae
from basalt.probes.sae.training import train_saes
from basalt.probes.settings import SuiteConfig
from basalt.probes.subject import Subject, load_subject
from basalt.probes.suite.evaluation import CONTROL, Evaluation
from basalt.probes.suite.report import write_report
from basalt.runners.choice import open_runner
from basalt.runners.jobs import JobList, do_jobs
from basalt.runners.local import LocalRunner


def suite_hook_points(policy: VPTPolicy, asked: Sequence[str] = ()) -> list[str]:
    """The hook points asked for; by default all but `resid_mid` and the inputs of attention.

    Raises:
        ConfigError: unknown hook point.
    """
    for name in asked:
        hook_point(policy, name)
    left_out = (".q", ".k", ".v", ".r", ".resid_mid")
    return list(asked) or [name for name in policy.hook_points() if not name.endswith(left_out)]


def sae_name(config: SAEConfig) -> str:
    """Folder of an autoencoder, e.g. `gated-w512-l08`."""
    return f"{config.architecture}-w{config.width}-l0{config.target_l0:g}"


def run_suite(cfg: SuiteConfig) -> SuiteReport:
    """Train and measure what is missing of the suite; returns the report on everything in its folder.

    Raises:
        BasaltError: the checkpoint, data or a hook point is missing, there are too few recordings, or the
            folder holds a suite on another policy.
    """
    began = time.monotonic()
    subject = load_subject(cfg.checkpoint, cfg.data, cfg.device)
    names = suite_hook_points(subject.policy, cfg.sites)
    out = Path(cfg.out)
    settings = _settings(cfg, subject)
    if settings.training_frames < cfg.batch:
        raise ConfigError(
            f"batch: expected at most {settings.training_frames}, the number of training frames, got "
            f"{cfg.batch}; record more, or set batch"
        )
    settings.claim(out / "config.json", "suite", may_change=("checkpoint",))
    runner = open_runner(cfg.runner)
    if cfg.jobs == 1 and isinstance(runner, LocalRunner):
        with _open_suite(cfg, subject) as measure:
            for name in progress_bar(names, title="hook points", unit="hook point"):
                measure(name)
    else:
        todo = JobList(out, {name: name for name in names}, partial(_open_suite, cfg))
        do_jobs(todo, runner, cfg.jobs, title="hook points", unit="hook point", progress=True)
    report = write_report(out, time.monotonic() - began)
    note(f"report, model card and autoencoders: {out}")
    return report


@contextmanager
def _open_suite(
    cfg: SuiteConfig, subject: Subject | None = None
) -> Iterator[Callable[[str], None]]:
    """What trains and measures the missing autoencoders of a hook point; a worker process loads the subject itself."""
    out = Path(cfg.out)
    subject = subject or load_subject(cfg.checkpoint, cfg.data, cfg.device)
    names = suite_hook_points(subject.policy, cfg.sites)
    stored = list(dict.fromkeys([*suite_hook_points(subject.policy), *names]))
    store = _store(out / "activations", subject, subject.policy, stored, cfg)
    untrained = subject.untrained(cfg.seed)
    control = _store(out / "activations-random", subject, untrained, stored, cfg)
    evaluation = Evaluation(cfg, subject, store, control)
    wanted = {sae_name(config): config for config in cfg.trainings()}
    first = replace(cfg.trainings()[0], architecture="jumprelu")

    def measure(name: str) -> None:
        folder = out / "saes" / name
        with sole_writer(folder, "suite"):
            # A half-written autoencoder may look like a whole one.
            remove_leftovers(folder)
            _train_missing(folder, wanted, store, cfg)
            _train_missing(folder, {CONTROL: first}, control, cfg)
            evaluation.measure(folder)

    yield measure


def _settings(cfg: SuiteConfig, subject: Subject) -> SuiteSettings:
    return SuiteSettings(
        checkpoint=str(subject.checkpoint),
        fingerprint=subject.fingerprint,
        task=subject.info.task,
        **{name: getattr(cfg, name) for name in ("data", "steps", "batch", "lr", "seed", "dtype")},
        training_frames=sum(map(len, subject.training)),
        held_out_frames=sum(map(len, subject.held_out)),
        training_episodes=len(subject.training),
        held_out_episodes=len(subject.held_out),
    )


def _store(
    folder: Path,
    subject: Subject,
    policy: VPTPolicy,
    names: Sequence[str],
    cfg: SuiteConfig,
) -> ActivationStore:
    """The activations of a network; waits if another job is writing them."""
    fingerprint = subject.fingerprint if policy is subject.policy else f"random:{cfg.seed}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f"{folder.name}.lock")

    def write() -> ActivationStore:
        return write_store(
            folder, policy, subject.episodes, subject.splits, names,
            checkpoint=fingerprint, dtype=cfg.dtype,
        )  # fmt: skip

    try:
        with locked(lock, timeout=0):
            return write()
    except BusyError:
        note(f"{folder}: waiting for another job to write the activations")
    with locked(lock):
        return write()


def _train_missing(
    folder: Path,
    configs: Mapping[str, SAEConfig],
    store: ActivationStore,
    cfg: SuiteConfig,
) -> None:
    """Train the autoencoders of a hook point that do not exist yet, all in one pass.

    Args:
        folder: Folder of the hook point, `SUITE/saes/HOOK_POINT`.
        configs: Settings by name of the autoencoder.
        store: Activations to train on.
        cfg: Settings of the suite.
    """
    name = folder.name
    missing = {n: c for n, c in configs.items() if not (folder / n / "cfg.json").is_file()}
    if not missing:
        return
    first = store.read(name, "training", evenly_spaced(store.count("training"), 4096))
    batches = store.batches(name, "training", cfg.batch, seed=cfg.seed)
    saes = train_saes(batches, first, store.scale(name), list(missing.values()))
    for (key, config), sae in zip(missing.items(), saes, strict=True):
        info = SAEInfo(hook_point=name, checkpoint=store.checkpoint, training=config)
        save_sae(folder / key, sae, info)
