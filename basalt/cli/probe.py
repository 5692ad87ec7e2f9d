"""`basalt probe`: looks inside a trained policy."""

from collections.abc import Callable

from omegaconf import DictConfig

from basalt.cli.hydra_app import hydra_app, plain
from basalt.probes.registry import PROBES, Probe
from basalt.probes.sae.config import SAEConfig

_CONFIGS = {
    "sites": "probe",
    "sae": "probe",
    "scope": "scope",
    "latent": "latent",
    "steered": "steered",
}


def _job(probe: Probe) -> Callable[[DictConfig], None]:
    def job(cfg: DictConfig) -> None:
        settings = plain(cfg)
        known = probe.config.__dataclass_fields__ if probe.config else {}
        if "data" in settings:
            settings["data"] = settings["data"]["source"]
        if "sae" in known and isinstance(settings.get("sae"), dict):
            settings["sae"] = SAEConfig(**settings["sae"])
        fields = {name: value for name, value in settings.items() if name in known}
        report = probe(probe.config(**fields) if probe.config else None)
        print("\n".join(report.lines()))

    return job


def main(argv: list[str]) -> int:
    """Run the probe named first, with Hydra overrides behind it.

    Raises:
        BasaltError: an unknown probe or setting, or what the probe raised.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: basalt probe PROBE checkpoint=RUN [data=sample] [out=DIR] ...\n")
        for name in PROBES:
            print(f"  {name:<8} {PROBES.get(name).summary}")
        print("\n`basalt probe PROBE --help` lists a probe's settings.")
        return 0
    name, *overrides = argv
    return hydra_app(_CONFIGS.get(name, "probe"), _job(PROBES.get(name)), overrides)
