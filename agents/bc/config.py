"""Settings of behavioural cloning."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from basalt.core.settings import Count, Float, Int, Natural, Paths, PathText, Positive, settings
from basalt.data.catalogue import find_manifest
from basalt.data.episodes import DEFAULT_CACHE_GB
from basalt.data.labels import LabelSetting
from basalt.io.errors import ConfigError

MAY_CHANGE = frozenset(
    {
        *("out", "steps", "device", "devices", "progress", "checkpoint_every", "log_every"),
        *("workers", "cache_gb"),
    }
)
"""Settings that may differ when a run is resumed: they change nothing learned, or only how far."""


@settings
class TrainConfig:
    """Settings of one training run.

    Attributes:
        out: Folder of the run. The same command resumes an interrupted run.
        task: Task whose recordings to learn from.
        data: Folder of recordings or of embeddings (`basalt embed`), `sample`, or a catalogue of such a folder at any
            address (`basalt data catalogue`). On embeddings only the heads are trained.
        rollouts: Folders of further recordings to learn from, such as an agent's rollouts that an expert labelled.
        steps: Number of optimizer steps. The default suits the sample, which more overfit (chosen on
            development seeds); raise it with the data.
        batch_size: Number of sequences per batch.
        seq_len: Frames per sequence and optimizer step; memory is carried on, gradients are not.
        segment: Number of frames after which a sequence jumps to another place of the data, with an empty memory; null
            to follow whole episodes. Short ones make the steps less alike, which small batches need.
        shuffle_plays: With `segment`: number of plays among which sequences jump until each is used up; null for all plays
            at once. Data at an address need it: a play is then fetched once in each pass.
        lr: Peak learning rate of Adam: linear warm-up, then a half cosine down to a tenth. At 1e-3
            some runs of the small policy ended at the action frequencies of the training data.
        warmup: Number of warm-up steps.
        weight_decay: AdamW's weight decay, applied to weights of two or more dimensions.
        grad_clip: Largest gradient norm.
        esc_weight: Largest weight of a frame with ESC relative to one without.
        change_weight: Weight of a frame on which the action changes relative to one on which it does not. Above 1, a
            policy gains less by repeating what was done before.
        size: Size of a fresh policy: `small`, or a published size `1x`, `2x`, `3x`.
        init: Policy to start from (`basalt.policies.source.open_policy`): a run, a `.weights` file or a
            published name; "" is a fresh policy, or the policy of the embeddings.
        trainable: Parameters that are updated: `all`, `last` (last layer and heads) or `heads`.
        kl: Weight of the divergence from `init`.
        held_out: Share of the (task, seed) groups that are held out for testing.
        mirror: Whether half of the episodes are mirrored, actions included, which doubles small data.
        shift: Largest random shift of the frames of a sequence, in pixels of the policy's input.
        colour: Largest random relative change of their brightness, contrast and each colour.
        drop_null: Whether frames without any action are left out.
        labels: Labelling rules: `corrected`, or `legacy` as the published loaders made them.
        cache_gb: Size of the frame cache in gigabytes; larger data are decoded as they are read. With a catalogue, size
            of the copies of plays.
        workers: Number of decoding processes; 0 decodes between the steps.
        devices: Number of GPUs, or of processes on a CPU, that share a batch. Under torchrun or srun leave it out: the
            number of processes that they started counts.
        seed: Seed of the weights, the split and the order.
        device: `auto`, `cpu`, `cuda`...
        checkpoint_every: Steps between checkpoints; there is always one at the end.
        log_every: Steps between rows of metrics.
        progress: Whether to show a progress bar on a terminal.
    """

    RENAMED = {"rows": "batch_size", "length": "seq_len", "train": "trainable"}  # noqa: RUF012

    out: PathText
    task: str = "find_cave"
    data: PathText = "sample"
    rollouts: Paths = ()
    steps: Count = 120
    batch_size: Count = 8
    seq_len: Count = 16
    segment: Count | None = None
    shuffle_plays: Count | None = None
    lr: Positive = 3e-4
    warmup: Int = 20
    weight_decay: Float = 0.01
    grad_clip: Positive = 1.0
    esc_weight: Annotated[Float, Field(ge=1)] = 50.0
    change_weight: Annotated[Float, Field(ge=1)] = 1.0
    size: str = "small"
    init: PathText = ""
    trainable: Literal["all", "last", "heads"] = "all"
    kl: Annotated[Float, Field(ge=0)] = 0.0
    held_out: Float = 0.3
    mirror: bool = True
    shift: Natural = 0
    colour: Annotated[Float, Field(ge=0, le=1)] = 0.0
    drop_null: bool = False
    labels: LabelSetting = "corrected"
    cache_gb: Float = DEFAULT_CACHE_GB
    workers: Int = 0
    devices: Count = 1
    seed: Natural = 0
    device: str = "auto"
    checkpoint_every: Count = 100
    log_every: Count = 1
    progress: bool = True

    def __post_init__(self) -> None:
        if self.shuffle_plays and not self.segment:
            raise ConfigError(
                f"segment: shuffle_plays={self.shuffle_plays} mixes segments of plays, got whole episodes; give segment=FRAMES"
            )
        if self.batch_size % self.devices:
            raise ConfigError(
                f"devices: expected a divisor of batch_size={self.batch_size}, got {self.devices}"
            )


def settled(cfg: TrainConfig, embedded: bool) -> TrainConfig:
    """Fill in what follows from the settings and the kind of data.

    Args:
        cfg: Settings as given.
        embedded: Whether the data are embeddings.

    Raises:
        ConfigError: The settings contradict each other.
    """
    if embedded:
        if cfg.trainable == "last":
            raise ConfigError(
                "trainable: expected heads, since embeddings train only the heads, got 'last'; use "
                "trainable=heads, or data of recordings"
            )
        if cfg.rollouts or cfg.shift or cfg.colour:
            raise ConfigError(
                "data: expected recordings, since rollouts=, shift= and colour= need frames, got embeddings; remove "
                "these settings"
            )
        made = find_manifest(cfg.data)
        origin = cfg.init or (made.policy if made else "")
        # Latents have no left and right.
        return replace(cfg, trainable="heads", init=origin, mirror=False)
    if not cfg.init and (cfg.trainable != "all" or cfg.kl):
        raise ConfigError(
            f"init: trainable={cfg.trainable} and kl={cfg.kl:g} need a policy to start from, "
            "e.g. init=foundation-1x"
        )
    return cfg
