"""Settings of the stopping head."""

from typing import Annotated

from pydantic import Field

from basalt.core.settings import Count, Float, Int, Natural, Paths, PathText, Positive, settings

MAY_CHANGE = frozenset(
    {"out", "steps", "device", "progress", "checkpoint_every", "log_every", "cache_gb"}
)
"""Settings that may differ when a run is resumed: they change nothing learned, or only how far."""


@settings
class EndingConfig:
    """Settings of one training run of a stopping head.

    Attributes:
        out: Folder of the run. The same command resumes an interrupted run.
        task: Task whose success ends an episode.
        data: Folder of demonstrations with telemetry, or `sample`.
        rollouts: Folders of further recordings: rollouts of the agents that are to stop, on training or development
            seeds. A head that has seen only demonstrations fires where no demonstrator ever stood.
        steps: Number of optimizer steps.
        batch_size: Number of frames per batch, at least 3: as many with each label (`agents.ending.data.BalancedFrames`).
        lr: Peak learning rate of Adam: linear warm-up, then a half cosine down to a tenth.
        warmup: Number of warm-up steps.
        weight_decay: AdamW's weight decay, applied to weights of two or more dimensions.
        trunk: Policy whose frozen latents the head reads instead of an image encoder of its own: a run, a `.weights` file
            or a published name. It has to stay where it is. Frames are not augmented then.
        size: Size of the image encoder: `small`, or that of a published policy `1x`, `2x`, `3x`.
        mirror: Whether half of the frames are mirrored.
        shift: Largest random shift of a frame, in pixels of the encoder's input.
        colour: Largest random relative change of brightness, contrast and each colour.
        held_out: Share of the (task, seed) groups that are held out: the threshold is chosen on them.
        min_step: Earliest step at which ESC may be pressed.
        max_step: Step from which even odds are enough to press it; null for never.
        cache_gb: Size of the frame cache in gigabytes; larger data are decoded as they are read, which is slow.
        seed: Seed of the weights, the split and the order.
        device: `auto`, `cpu`, `cuda`...
        checkpoint_every: Steps between checkpoints; there is always one at the end.
        log_every: Steps between rows of metrics.
        progress: Whether to show a progress bar on a terminal.
    """

    out: PathText
    task: str = "find_cave"
    data: PathText = "sample"
    rollouts: Paths = ()
    steps: Count = 600
    batch_size: Annotated[Int, Field(ge=3)] = 64
    lr: Positive = 1e-3
    warmup: Int = 20
    weight_decay: Float = 0.01
    trunk: PathText = ""
    size: str = "small"
    mirror: bool = True
    shift: Natural = 3
    colour: Annotated[Float, Field(ge=0, le=1)] = 0.2
    held_out: Annotated[Float, Field(gt=0, lt=1)] = 0.3
    min_step: Natural = 40
    max_step: Natural | None = None
    cache_gb: Float = 8.0
    seed: Natural = 0
    device: str = "auto"
    checkpoint_every: Count = 200
    log_every: Count = 10
    progress: bool = True
