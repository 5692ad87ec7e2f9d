"""Settings of a reward model."""

from typing import Annotated, Literal

from pydantic import Field

from basalt.core.settings import Count, Float, Natural, Paths, PathText, Positive, settings

ModelKind = Literal["linear", "mlp", "transformer"]
"""What scores a step: a linear function of its latent, a network, or a Preference Transformer."""

MAY_CHANGE = frozenset({"out", "device", "progress", "checkpoint_every"})
"""Settings that may differ when a run is resumed: they change nothing learned."""


@settings
class RewardConfig:
    """Settings of one training run of a reward model.

    Attributes:
        out: Folder of the run. The same command resumes an interrupted run.
        task: Task of the answers.
        comparisons: Files of answers (`basalt feedback label`, `basalt leaderboard export`, `basalt feedback merge`).
        recordings: Folders of the recordings that were compared, or `sample`.
        trunk: Policy whose frozen latents are scored: a run, a `.weights` file or a published name. It has to stay where it
            is.
        model: What scores a step: `linear`, `mlp` or `transformer`.
        members: Number of models in the ensemble, each with its own start and its own resampled answers.
        question: Question whose answers are learned; empty for "which did better?".
        sources: Sources of answers that are learned, such as [human]; needed where a file holds several.
        flip_rate: Share of answers that are taken to name the wrong side.
        components: Number of principal components of the latents that are scored, after whitening.
        changes: Whether a step is also scored by how its components changed: what gets better in a clip, and not only what is
            in view.
        frames: Largest number of steps of a clip that are read in training, spread evenly.
        width: Width of the hidden layers of `mlp` and `transformer`.
        dropout: Dropout in the hidden layers.
        steps: Number of optimizer steps of `mlp` and `transformer`; the one that is best on validation worlds is kept.
        batch_size: Number of pairs per batch.
        lr: Peak learning rate of Adam: linear warm-up, then a half cosine down to a tenth.
        warmup: Number of warm-up steps.
        weight_decay: AdamW's weight decay; of `linear`, the penalty is chosen by cross-validation over worlds.
        held_out: Share of the worlds (task and seed) that are held out for the report.
        seed: Seed of the weights, the split, the resampling and the order.
        device: `auto`, `cpu`, `cuda`...
        checkpoint_every: Steps between checkpoints; there is always one at the end.
        log_every: Steps between rows of metrics and looks at the validation worlds.
        progress: Whether to show progress bars.
    """

    out: PathText
    comparisons: Annotated[Paths, Field(min_length=1)]
    recordings: Annotated[Paths, Field(min_length=1)]
    trunk: PathText
    task: str = "find_cave"
    model: ModelKind = "mlp"
    members: Annotated[int, Field(ge=1, le=20)] = 3
    question: str = ""
    sources: tuple[str, ...] = ()
    flip_rate: Annotated[Float, Field(ge=0, lt=0.5)] = 0.05
    components: Count = 64
    changes: bool = True
    frames: Annotated[int, Field(ge=1, le=512)] = 32
    width: Annotated[int, Field(ge=4, le=4_096, multiple_of=4)] = 128
    dropout: Annotated[Float, Field(ge=0, lt=1)] = 0.1
    steps: Count = 1_000
    batch_size: Count = 64
    lr: Positive = 1e-3
    warmup: Natural = 50
    weight_decay: Annotated[Float, Field(ge=0)] = 0.01
    held_out: Annotated[Float, Field(gt=0, lt=1)] = 0.3
    seed: Natural = 0
    device: str = "auto"
    checkpoint_every: Count = 200
    log_every: Count = 20
    progress: bool = True
