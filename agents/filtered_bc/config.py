"""Settings of filtered behavioural cloning."""

from typing import Annotated

from pydantic import Field

from basalt.core.settings import Count, Float, Natural, Paths, PathText, Positive, settings
from basalt.io.errors import ConfigError


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
class FilteredBCConfig(CloneConfig):
    """Settings of filtered behavioural cloning: of cloning, and of the answers.

    Attributes:
        comparisons: Files of answers. The winner of each decided one is imitated.
        question: Question whose answers count; empty for "which did better?".
        sources: Sources of answers that count, such as [human]; needed where a file holds several.
    """

    comparisons: Paths = ()
    question: str = ""
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.comparisons:
            raise ConfigError("comparisons: expected files of answers; give comparisons=FILE")
