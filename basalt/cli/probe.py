"""``basalt probe``: looks inside a trained policy."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from basalt.cli.hydra_app import hydra_app, plain
from basalt.io.atomic import write_json
from basalt.io.errors import ConfigError


def _sites(cfg: DictConfig) -> None:
    from basalt.policies.checkpoint import choose_device, load_policy
    from basalt.probes.hooks.activations import site_widths

    policy, _ = load_policy(str(cfg.checkpoint), choose_device(str(cfg.device)))
    print(f"{'site':<22}{'width':>6}   one row a frame, [B, T, width]")
    for site, width in site_widths(policy).items():
        print(f"{site:<22}{width:>6}")


def _sae(cfg: DictConfig) -> None:
    from basalt.probes.sae import SAEConfig
    from basalt.probes.smoke_test import probe_smoke, summary_lines

    settings = plain(cfg)
    report = probe_smoke(
        settings["checkpoint"],
        settings["data"]["source"],
        settings["out"],
        site=settings["site"],
        config=SAEConfig(**settings["sae"]),
        pool=settings["pool"],
        device=settings["device"],
    )
    print("\n".join(summary_lines(report)))
    print(f"report and autoencoders: {settings['out']}")


def _scope(cfg: DictConfig) -> None:
    from basalt.probes.suite.report import left_out_line, table_lines
    from basalt.probes.suite.run import ScopeConfig, run_scope

    settings = plain(cfg)
    settings["data"] = settings["data"]["source"]
    report = run_scope(ScopeConfig(**settings))
    print("\n".join(table_lines(report)))
    if report["label"]:
        print(f"({report['label']})")
    if report["left_out"]:
        print(left_out_line(report))
    print(f"report, model card and autoencoders: {settings['out']}")


def _latent(cfg: DictConfig) -> None:
    from basalt.policies.imitation import encode_episodes
    from basalt.probes.steering import change_of_choices, read_steering
    from basalt.probes.subject import load_subject

    settings = plain(cfg)
    subject = load_subject(settings["checkpoint"], settings["data"]["source"], settings["device"])
    steering = read_steering(settings["steer"], settings["sae"], subject.policy)
    episodes = subject.held_out[: settings["episodes"]]
    encoded = encode_episodes(subject.policy, episodes)
    report = change_of_choices(subject.policy, episodes, encoded, steering)
    report |= {"steer": settings["steer"], "sae": settings["sae"], "episodes": len(episodes)}
    _write(settings["out"], report)
    print(f"change of log-odds over {report['frames']} held-out frames, {len(episodes)} episodes")
    print(f"{'':<12}{'change':>9}{'95 %':>22}{'random direction':>18}")
    for row in report["measures"][:12]:
        low, high = row["interval"] or (float("nan"), float("nan"))
        print(
            f"{row['name']:<12}{row['change']:>+9.4f}{f'{low:+.4f} to {high:+.4f}':>22}"
            f"{row['random_direction']:>+18.4f}"
        )


def _steered(cfg: DictConfig) -> None:
    from basalt.probes.steering import compare_rollouts

    settings = plain(cfg)
    report = compare_rollouts(Path(settings["plain"]), Path(settings["steered"]))
    _write(settings["out"], report)
    print(
        f"{'':<20}{'plain':>10}{'steered':>10}{'difference':>12}   95 % over {len(report['seeds'])} seeds"
    )
    for name, row in report["readings"].items():
        interval = row["interval"]
        shown = f"{interval[0]:+.2f} to {interval[1]:+.2f}" if interval else "too few seeds"
        print(
            f"{name:<20}{row['plain']:>10.2f}{row['steered']:>10.2f}{row['difference']:>+12.2f}   {shown}"
        )


def _write(out: str | None, report: dict[str, Any]) -> None:
    """The report as JSON, where a file for it was given."""
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(out), report)


PROBES = {
    "sites": ("probe", _sites, "the activations that can be read, with their shapes"),
    "sae": ("probe", _sae, "one sparse autoencoder, beside one on an untrained network"),
    "scope": ("scope", _scope, "autoencoders on every site, measured; the Probes page shows them"),
    "latent": (
        "latent",
        _latent,
        "what taking away, scaling or clamping one latent does to the logits on recordings",
    ),
    "steered": ("steered", _steered, "two rollouts, plain and steered, compared by telemetry"),
}
"""By name: configuration, what runs, what it is for."""


def main(argv: list[str]) -> int:
    """Run the probe named first, with Hydra overrides behind it.

    Raises:
        BasaltError: no such probe, a setting that does not exist, or what the probe found wrong.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: basalt probe PROBE checkpoint=RUN [data=sample] [out=DIR] ...\n")
        for name, (_, _, what) in PROBES.items():
            print(f"  {name:<8} {what}")
        print("\n`basalt probe PROBE --help` lists a probe's settings.")
        return 0
    probe, *overrides = argv
    if probe not in PROBES:
        close = get_close_matches(probe, PROBES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"probe: unknown probe {probe!r}; {hint}known: {', '.join(PROBES)}")
    config, job, _ = PROBES[probe]
    return hydra_app(config, job, overrides)
