"""The record of the smoke test of the probes; reading it needs no torch."""

from typing import ClassVar

from basalt.probes.records import Estimate, Part, ProbeRecord, ReconstructionMetrics, number
from basalt.probes.sae.config import SAEConfig

LABEL = "smoke test: a small autoencoder on few frames; it shows that the probe runs, not what the policy knows"


class PatchedLosses(Part):
    """What a reconstruction in the activation's place costs, beside two ablations, nats per frame.

    Attributes:
        loss_clean, loss_patched, loss_zero, loss_mean: Loss of the network as it is, with the
            reconstruction, with zeros and with the mean in the activation's place.
        loss_change: `loss_patched` - `loss_clean`.
        loss_recovered: (zero - patched) / (zero - clean); None where the ablation costs nothing.
    """

    loss_clean: float
    loss_patched: float
    loss_zero: float
    loss_mean: float
    loss_change: Estimate
    loss_recovered: float | None


class SmokeMetrics(ReconstructionMetrics, PatchedLosses):
    """The metrics of the smoke test's autoencoder on one network."""


class SmokeReport(ProbeRecord):
    """The result of the smoke test.

    Attributes:
        label: Warning that this is a smoke test.
        hook_point: Name of the hook point.
        checkpoint: Checkpoint as it was given.
        config: Settings of both trainings.
        training_frames, held_out_frames: Sizes of the split.
        held_out_episodes: Names of the held-out episodes.
        trained, random_network: Metrics on the policy, and on the network before training.
        seconds: Duration.
    """

    FORMAT: ClassVar[str] = "basalt-probe-smoke-test"

    label: str
    hook_point: str
    checkpoint: str
    config: SAEConfig
    training_frames: int
    held_out_frames: int
    held_out_episodes: tuple[str, ...]
    trained: SmokeMetrics
    random_network: SmokeMetrics
    seconds: float

    def lines(self) -> list[str]:
        """The metrics of both networks."""
        columns = f"{'variance explained':>19}{'L0':>7}{'dead':>7}{'clean loss':>12}{'BC loss change':>16}"
        found = [
            f"sparse autoencoder on {self.hook_point}, metrics on held-out episodes",
            f"{'':<16}{columns}  95% over episodes",
        ]
        for name, row in (("trained", self.trained), ("random network", self.random_network)):
            found.append(
                f"{name:<16}{number(row.variance_explained.value, '.3f'):>19}"
                f"{number(row.l0.value, '.1f'):>7}{row.dead_share:>7.0%}{row.loss_clean:>12.3f}"
                f"{number(row.loss_change.value, '+.4f'):>16}"
                f"  {row.loss_change.range_text('+.4f') or 'too few episodes'}"
            )
        return [*found, f"({self.label})"]
