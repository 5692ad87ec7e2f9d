"""``basalt probe``: looks inside a trained policy."""

from __future__ import annotations

from difflib import get_close_matches

from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from basalt.errors import ConfigError

PROBES = ("sae",)


def main(argv: list[str]) -> int:
    """Run the probe named first, with Hydra overrides of ``configs/probe.yaml`` behind it.

    Raises:
        BasaltError: no such probe, a setting that does not exist, or what the probe found wrong.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: basalt probe sae checkpoint=RUN [data=sample] [out=DIR] [site=lastlayer] ...")
        return 0
    probe, *overrides = argv
    if probe not in PROBES:
        close = get_close_matches(probe, PROBES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"probe: unknown probe {probe!r}; {hint}known: {', '.join(PROBES)}")
    try:
        with initialize_config_module("configs", version_base="1.3"):
            cfg = compose("probe", overrides=overrides)
        checkpoint, data, out = str(cfg.checkpoint), str(cfg.data.source), str(cfg.out)
        site, device = str(cfg.site), str(cfg.device)
        settings = dict(cfg.sae)
    except (HydraException, OmegaConfBaseException) as err:
        message = "; ".join(line.strip() for line in str(err).splitlines() if line.strip())
        raise ConfigError(message) from err
    from basalt.probes.report import probe_smoke, summary_lines
    from basalt.probes.sae import SAEConfig

    config = SAEConfig(**settings)
    report = probe_smoke(checkpoint, data, out, site=site, config=config, device=device)
    print("\n".join(summary_lines(report)))
    print(f"report and autoencoders: {out}")
    return 0
