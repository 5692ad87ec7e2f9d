"""`basalt probe`: looks inside a trained policy."""

import dataclasses
from functools import partial
from typing import Any

from basalt.cli.hydra_app import add_option, hydra_app, in_configs
from basalt.probes.registry import PROBES, Probe


def main(argv: list[str]) -> int:
    """Run the probe named first, with settings behind it; returns the exit status.

    Raises:
        BasaltError: There is no such probe or setting, or what the probe raised.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: basalt probe PROBE checkpoint=RUN [data=sample] [out=DIR] ...\n")
        broken, width = PROBES.broken(), max(map(len, PROBES))
        for name in PROBES:
            print(f"  {name:<{width}}  {broken.get(name) or PROBES.get(name).summary}")
        print("\nbasalt probe PROBE --help lists the settings of a probe.")
        return 0
    name, *overrides = argv
    probe = PROBES.get(name)
    config = probe.config or _NoSettings
    defaults: list[Any] = ["/hydra/quiet", f"/settings/{config.__name__}"]
    fields = {field.name for field in dataclasses.fields(config)}
    groups = {"data": "sample", "task": "find_cave", "runner": "local"}
    defaults += [{f"/{group}": option} for group, option in groups.items() if group in fields]
    if not in_configs("probe", name):
        add_option("probe", name, {"defaults": [*defaults, "_self_"]}, package="_global_")
    return hydra_app(f"probe/{name}", partial(_run, probe), overrides, settings=config)


@dataclasses.dataclass(frozen=True)
class _NoSettings:
    """A probe without settings."""


def _run(probe: Probe, settings: Any) -> None:
    report = probe(settings if probe.config else None)
    print("\n".join(report.lines()))
