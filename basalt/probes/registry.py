"""The probes by name, built-in ones and those of other packages. Imports no torch."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from basalt.core.registry import Registry, load
from basalt.probes.settings import (
    CircuitConfig,
    DirectConfig,
    ElicitConfig,
    GrokConfig,
    HookPointsConfig,
    ImitabilityConfig,
    LatentConfig,
    PatchConfig,
    ReadoutConfig,
    RemovalConfig,
    SmokeTestConfig,
    SteeredConfig,
    SubspaceConfig,
    SuiteConfig,
    TwinsConfig,
)


class Report(Protocol):
    """The result of a probe; a `basalt.probes.records.ProbeRecord` is one."""

    def lines(self) -> Sequence[str]:
        """The result for a terminal."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        ...


class Probe(NamedTuple):
    """A probe that `basalt probe NAME` runs.

    Another package adds one under the entry point group `basalt.probes`; the entry point's name is the
    probe's name and its value is the `module:attribute` of a `Probe`.

    Attributes:
        name: Name on the command line.
        summary: One line for `basalt probe --help`.
        config: Dataclass of the settings; None for a probe without settings.
        run: Function of the settings, or its `module:attribute`; the result is printed.
    """

    name: str
    summary: str
    config: type[Any] | None
    run: Callable[[Any], Report] | str

    def __call__(self, settings: Any) -> Report:
        """Import the probe and run it."""
        report: Report = load(self.run)(settings)
        return report


PROBES: Registry[Probe] = Registry("probe", "basalt.probes", Probe)
"""By name, in the order of `basalt probe --help`."""

for _probe in (
    Probe(
        "sites",
        "list the hook points of a policy with the widths of their activations",
        HookPointsConfig,
        "basalt.probes.hooks.points:list_hook_points",
    ),
    Probe(
        "sae",
        "train one sparse autoencoder, and one on an untrained network for comparison",
        SmokeTestConfig,
        "basalt.probes.smoke_test:smoke_test",
    ),
    Probe(
        "scope",
        "train and measure autoencoders on every hook point; the Probes page shows them",
        SuiteConfig,
        "basalt.probes.suite.run:run_suite",
    ),
    Probe(
        "latent",
        "ablate, scale or clamp one latent and measure the change of the logits on recordings",
        LatentConfig,
        "basalt.probes.steering:steer_on_recordings",
    ),
    Probe(
        "steered",
        "compare two rollouts, plain and steered, by telemetry",
        SteeredConfig,
        "basalt.probes.steering:compare_steered",
    ),
    Probe(
        "removal",
        "remove the features of a concept and see which probes lose it (TPP and SCR)",
        RemovalConfig,
        "basalt.probes.removal.probe:removal",
    ),
    Probe(
        "imitability",
        "measure how much of what a player acts on frames do not show, on recordings",
        ImitabilityConfig,
        "basalt.probes.imitability.gap:imitability",
    ),
    Probe(
        "readout",
        "fit read-outs of facts to a frozen policy's latents: an expert for `basalt oversight`",
        ReadoutConfig,
        "basalt.probes.readout.fit:readout",
    ),
    Probe(
        "twins",
        "play recordings again with one thing of their world changed, as pairs for `patch`",
        TwinsConfig,
        "basalt.probes.twins.make:make_twins",
    ),
    Probe(
        "patch",
        "find the heads, MLPs and memories that a choice runs through, by activation patching",
        PatchConfig,
        "basalt.probes.patching.probe:patch_nodes",
    ),
    Probe(
        "circuit",
        "measure how much of a choice the nodes of largest effect carry, by their number",
        CircuitConfig,
        "basalt.probes.circuits.faithfulness:circuit",
    ),
    Probe(
        "direct",
        "attribute a choice to what each head, MLP and remembered frame writes to it directly",
        DirectConfig,
        "basalt.probes.circuits.direct:direct",
    ),
    Probe(
        "subspace",
        "keep a few dimensions of a head's queries, keys and values and measure what is lost",
        SubspaceConfig,
        "basalt.probes.circuits.subspaces:subspace",
    ),
    Probe(
        "elicit",
        "fit probes without labels to contrast pairs, with the checks that they must pass",
        ElicitConfig,
        "basalt.probes.elicitation.probe:elicit",
    ),
    Probe(
        "grok",
        "test the four predictions of circuit efficiency on small networks; needs no policy",
        GrokConfig,
        "basalt.probes.grokking.probe:grok",
    ),
):
    PROBES.register(_probe.name, _probe)
