"""Settings that agents share that learn from comparisons."""

from typing import Annotated

from pydantic import Field

from basalt.core.settings import Count, Float, Natural, Paths, PathText, Positive, settings
from basalt.io.errors import ConfigError

NEEDS_ANSWERS = "comparisons: expected files of answers; give comparisons=FILE"
NEEDS_REWARD = "reward: expected a run of a reward model; give reward=RUN"

MAY_CHANGE = frozenset({"out", "device", "progress", "checkpoint_every"})
"""Settings that may differ when a run is resumed: they change nothing learned."""


@settings
class CloneConfig:
    """Settings of cloning chosen stretches of recordings: the heads of a policy, on its own frozen latents.

    Attributes:
        out: Folder of the run. The same command resumes an interrupted run.
        task: Task of the recordings.
        recordings: Folders of the recordings, or `sample`.
        init: Policy to start from (`basalt.policies.source.open_policy`). Only its heads are trained.
        steps: Number of optimizer steps.
        batch_size: Number of sequences per batch.
        seq_len: Frames per sequence.
        lr: Peak learning rate of Adam: linear warm-up, then a half cosine down to a tenth.
        kl: Weight of the divergence from `init`.
        held_out: Share of the worlds (task and seed) that are held out for testing.
        seed: Seed of the split and the order.
        device: `auto`, `cpu`, `cuda`...
        checkpoint_every: Steps between checkpoints; there is always one at the end.
        log_every: Steps between rows of metrics.
        progress: Whether to show a progress bar on a terminal.
    """

    out: PathText
    recordings: Annotated[Paths, Field(min_length=1)]
    init: PathText
    task: str = "find_cave"
    steps: Count = 500
    batch_size: Count = 16
    seq_len: Count = 32
    lr: Positive = 3e-4
    kl: Annotated[Float, Field(ge=0)] = 0.0
    held_out: Annotated[Float, Field(ge=0, lt=1)] = 0.2
    seed: Natural = 0
    device: str = "auto"
    checkpoint_every: Count = 100
    log_every: Count = 10
    progress: bool = True


@settings
class ImproveConfig:
    """Settings of improving a policy by a loss of its own, within a limit of divergence.

    Attributes:
        out: Folder of the run. The same command resumes an interrupted run.
        task: Task of the recordings.
        recordings: Folders of the recordings, or `sample`.
        init: Policy to start from (`basalt.policies.source.open_policy`), which is also the reference. It has to stay where
            it is.
        steps: Largest number of optimizer steps.
        batch_size: Number of pairs, or of sequences of frames, per batch.
        lr: Peak learning rate of Adam: linear warm-up, then a half cosine down to a tenth.
        warmup: Number of warm-up steps.
        kl_limit: Largest divergence from `init` in nats a frame; a run that passes it ends at the last step below it.
        frames: Largest number of steps of a clip that are read, spread evenly; also the length to which scores are scaled, so
            that longer clips do not count more.
        held_out: Share of the worlds (task and seed) that are held out for the report.
        seed: Seed of the split and the order.
        device: `auto`, `cpu`, `cuda`...
        checkpoint_every: Steps between checkpoints; there is always one at the end.
        log_every: Steps between rows of metrics and looks at the divergence.
        progress: Whether to show progress bars.
    """

    out: PathText
    recordings: Annotated[Paths, Field(min_length=1)]
    init: PathText
    task: str = "find_cave"
    steps: Count = 500
    batch_size: Count = 16
    lr: Positive = 3e-4
    warmup: Natural = 20
    kl_limit: Positive = 0.2
    frames: Annotated[int, Field(ge=1, le=4_096)] = 64
    held_out: Annotated[Float, Field(ge=0, lt=1)] = 0.2
    seed: Natural = 0
    device: str = "auto"
    checkpoint_every: Count = 100
    log_every: Count = 10
    progress: bool = True


@settings
class ContrastConfig(ImproveConfig):
    """Settings of learning from pairs of clips: the winner's actions become more likely than the loser's.

    Attributes:
        comparisons: Files of answers.
        question: Question whose answers count; empty for "which did better?".
        sources: Sources of answers that count, such as [human]; needed where a file holds several.
        scale: Factor of the summed log-probabilities (alpha of CPL, beta of DPO).
        bias: Factor of the loser's score (lambda of CPL): below 1 the policy stays closer to the clips.
        flip_rate: Share of answers that are taken to name the wrong side.
    """

    comparisons: Paths = ()
    question: str = ""
    sources: tuple[str, ...] = ()
    scale: Positive = 0.1
    bias: Annotated[Float, Field(gt=0, le=1)] = 1.0
    flip_rate: Annotated[Float, Field(ge=0, lt=0.5)] = 0.05

    def __post_init__(self) -> None:
        if not self.comparisons:
            raise ConfigError(NEEDS_ANSWERS)
