"""Settings of the built-in probes; the only place of each default. Does not import torch."""

import math
from dataclasses import field
from itertools import product
from typing import Annotated, Any

from pydantic import Field

from basalt.core.settings import Count, Int, Natural, Paths, PathText, Positive, settings
from basalt.probes.sae.config import ARCHITECTURES, SAEConfig

SMOKE = SAEConfig(width=256, target_l0=12.0, steps=500, batch=256)
"""Settings of the smoke test's autoencoders."""


@settings
class HookPointsConfig:
    """Settings of `basalt probe sites`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        device: Device of the policy.
    """

    checkpoint: PathText
    device: str = "auto"


@settings
class SmokeTestConfig:
    """Settings of `basalt probe sae`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        out: Folder for the report and the two autoencoders; None writes nothing.
        site: Name of the hook point.
        pool: Number of activations in a shuffled pool to stream from; 0 holds all in memory.
        device: Device of the policies; the autoencoders are trained on the CPU.
        sae: Settings of both autoencoders.
    """

    checkpoint: PathText
    data: PathText
    out: PathText | None = None
    site: str = "lastlayer"
    pool: Int = 0
    device: str = "auto"
    sae: SAEConfig = SMOKE


@settings
class SuiteConfig:
    """Settings of `basalt probe scope`: what to train, and on how much data to measure.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        out: Folder of the suite.
        sites: Names of the hook points; empty takes all but `resid_mid`, `q`, `k`, `v` and `r`.
        architectures: Names in `basalt.probes.sae.config.ARCHITECTURES`; empty takes all.
        widths: Numbers of latents.
        l0: Wanted numbers of active latents per frame.
        steps: Optimizer steps of each training.
        batch: Activations per step.
        lr: Step size of each training.
        seed: Seed of weights and orders.
        device: Device of the policy.
        dtype: Type of the stored activations, `float16` or `bfloat16`.
        eval_frames: Number of held-out frames for patching, rounded up to whole episodes.
        concept_frames: Number of frames of each split on which concepts are measured.
        effect_frames: Number of held-out frames for effects on the logits.
        jobs: Number of processes, each of which measures one hook point after the other.
        runner: Where they run: local for this machine, or a Ray or Slurm cluster (docs/scale.md).

    Raises:
        ConfigError: a value outside its range.
    """

    checkpoint: PathText
    data: PathText
    out: PathText = "runs/scope"
    sites: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    widths: Annotated[tuple[Count, ...], Field(min_length=1)] = (512,)
    l0: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8.0, 24.0)
    steps: Count = 1000
    batch: Count = 512
    lr: Positive = 3e-3
    seed: Int = 0
    device: str = "auto"
    dtype: str = "float16"
    eval_frames: Count = 8192
    concept_frames: Count = 16_384
    effect_frames: Count = 1024
    jobs: Count = 1
    runner: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.trainings()  # checks the settings of each

    def trainings(self) -> list[SAEConfig]:
        """Settings of every autoencoder, ordered by width, L0 and architecture."""
        return [
            SAEConfig(
                architecture=architecture,
                width=width,
                target_l0=l0,
                bandwidth=0.3 / math.sqrt(l0),
                steps=self.steps,
                batch=self.batch,
                lr=self.lr,
                seed=self.seed,
            )
            for width, l0, architecture in product(
                self.widths, self.l0, self.architectures or tuple(ARCHITECTURES)
            )
        ]


@settings
class LatentConfig:
    """Settings of `basalt probe latent`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        steer: [hook point, latent, value], or a fourth entry: `clamp` (default), `scale` or `add`.
        sae: Folder of the autoencoder, `SUITE/saes/HOOK_POINT/NAME`.
        episodes: Largest number of held-out episodes.
        out: JSON file for the report; None writes nothing.
        device: Device of the policy.
    """

    checkpoint: PathText
    data: PathText
    steer: tuple[Any, ...]
    sae: PathText
    episodes: Count = 16
    out: PathText | None = None
    device: str = "auto"


@settings
class SteeredConfig:
    """Settings of `basalt probe steered`.

    Attributes:
        plain: Folder of the rollout without steering.
        steered: Folder of the steered rollout.
        out: JSON file for the report; None writes nothing.
    """

    plain: PathText
    steered: PathText
    out: PathText | None = None


@settings
class ImitabilityConfig:
    """Settings of `basalt probe imitability`.

    Attributes:
        policy: Policy whose frozen latents represent the frames: a run, a `.weights` file or a published name. It should
            not be trained on the held-out recordings.
        data: Folder of recordings with telemetry.
        out: Folder of the latents and the report. The same command resumes an interrupted one.
        task: Task of the recordings.
        site: Whether the places of the saved worlds are known to the head on telemetry; a world that is not in the cache
            is made, which takes some seconds.
        components: Number of principal components that the heads read.
        hidden: Width of the heads' hidden layer.
        steps: Number of optimizer steps of each fit.
        batch: Number of frames per step.
        lr: Step size of Adam.
        held_out: Share of the (task, seed) groups that are held out.
        batch_size: Number of plays per batch while latents are computed.
        workers: Number of decoding processes.
        seed: Seed of the split, the weights and the order.
        device: Device of the policy; the heads are trained on the CPU.
        progress: Whether to show progress bars on a terminal.
    """

    policy: PathText
    data: PathText
    task: str
    out: PathText = "runs/imitability"
    site: bool = True
    components: Count = 64
    hidden: Count = 64
    steps: Count = 1000
    batch: Count = 1024
    lr: Positive = 1e-2
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.3
    batch_size: Count = 16
    workers: Natural = 1
    seed: Natural = 0
    device: str = "auto"
    progress: bool = True


@settings
class ReadoutConfig:
    """Settings of `basalt probe readout`.

    Attributes:
        policy: The frozen policy (`basalt.policies.source.open_policy`).
        task: Task of the recordings.
        training: Folders of recordings that the read-outs are fitted to.
        recordings: Folders of recordings of other worlds, which they describe and are measured on.
        out: File of the read-outs, for `basalt oversight run expert=FILE`.
        limit: Number of training recordings that are used, drawn at random; null for all. Fewer make a weaker expert.
        seed: Seed of that draw.
        device: Device of the policy.
        progress: Whether to show a progress bar.
    """

    policy: PathText
    task: str
    training: Annotated[Paths, Field(min_length=1)]
    recordings: Annotated[Paths, Field(min_length=1)]
    out: PathText = "runs/readout.json"
    limit: Count | None = None
    seed: Natural = 0
    device: str = "auto"
    progress: bool = True


@settings
class TwinsConfig:
    """Settings of `basalt probe twins`.

    Attributes:
        data: Folder of recordings whose actions are played again.
        task: Task of the recordings.
        out: Folder of the library. The same command resumes an interrupted one.
        changes: What is changed: `black` or `bright` (a block ahead), `left` or `right` (a bright block to a side), `item` (in
            the hand), `no_animal` or `other_animal`; empty takes all that fit.
        count: Largest number of recordings.
        steps: Number of steps that are played. Blocks are placed where the player looks after the last one.
    """

    data: PathText
    task: str
    out: PathText = "runs/twins"
    changes: tuple[str, ...] = ()
    count: Count = 8
    steps: Count = 60


@settings
class PatchConfig:
    """Settings of `basalt probe patch`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on, of which others count as held out; or of twins.
        out: JSON file for the report; None writes nothing.
        method: `exhaustive` patches every node. `atp`, `atp_qk` (with the fix for queries and keys), `atp_star` (and
            GradDrop) and `ig` (integrated gradients) estimate.
        metric: What a patch changes at the last frame: the log-odds of a button such as `forward` or of `ESC`,
            `camera.yaw` or `camera.pitch` (expected degrees), or `action` (log-probability of what the player did).
        pairs: How the other window of a pair is made: `other` (another episode), `earlier` (a second earlier), `past` (other
            frames before the last one), `mirror`, `dark`, `covered` (an edited picture), or `twins` (the same play in a
            changed world; `data` is a folder of `basalt probe twins`).
        changes: Changes of the twins that are used; empty takes all.
        count: Number of pairs.
        frames: Number of frames of a window.
        nodes: Kinds of nodes: `q`, `k`, `v`, `r`, `z` (of heads), `mlp`, `memory` (a head's key and value of a frame),
            `resid`, `embed`, `latent` (of `sae`).
        sae: Folder of the autoencoder whose latents are nodes, `SUITE/saes/HOOK_POINT/NAME`.
        by_frame: Whether each frame has nodes of its own; else a node is a part of the network at all frames.
        verify: Number of nodes, from the top of the estimate, that are patched truly.
        sets: Number of random sets for the bound on what was missed; 0 leaves the bound out.
        share: Probability of each node to join a random set.
        confidence: Confidence of the bound.
        seed: Seed of the random sets and of the control.
        device: Device of the policy.
    """

    checkpoint: PathText
    data: PathText
    out: PathText | None = None
    method: str = "atp_star"
    metric: str = "forward"
    pairs: str = "other"
    changes: tuple[str, ...] = ()
    count: Count = 8
    frames: Annotated[Count, Field(le=1024)] = 16
    nodes: tuple[str, ...] = ("q", "k", "v", "r", "z", "mlp")
    sae: PathText | None = None
    by_frame: bool = True
    verify: Natural = 20
    sets: Natural = 256
    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    seed: Natural = 0
    device: str = "auto"


@settings
class CircuitConfig:
    """Settings of `basalt probe circuit`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        out: JSON file for the report; None writes nothing.
        method: What orders the nodes: a method of `basalt probe patch`.
        metric: What the circuit carries: a metric of `basalt probe patch`.
        pairs: How the other window of a pair is made, as for `basalt probe patch`.
        changes: Changes of the twins that are used; empty takes all.
        count: Number of pairs.
        frames: Number of frames of a window.
        nodes: Kinds of nodes. Those of the default carry everything: with all of them replaced, the policy sees the other
            window.
        by_frame: Whether each frame has nodes of its own; else a node is a part of the network at all frames.
        ablations: What replaces the nodes outside a circuit: `zero`, `mean`, `resample` (those of the other window).
        random: Number of random orders of the control.
        seed: Seed of the random orders.
        device: Device of the policy.
    """

    checkpoint: PathText
    data: PathText
    out: PathText | None = None
    method: str = "atp_star"
    metric: str = "forward"
    pairs: str = "other"
    changes: tuple[str, ...] = ()
    count: Count = 8
    frames: Annotated[Count, Field(le=1024)] = 16
    nodes: tuple[str, ...] = ("z", "mlp", "embed")
    by_frame: bool = True
    ablations: tuple[str, ...] = ("zero", "mean", "resample")
    random: Count = 5
    seed: Natural = 0
    device: str = "auto"


@settings
class DirectConfig:
    """Settings of `basalt probe direct`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on; others in it count as held out.
        out: JSON file for the report; None writes nothing.
        metric: What is attributed: a metric of `basalt probe patch`.
        pairs: How the other window of a pair is made, as for `basalt probe patch`.
        changes: Changes of the twins that are used; empty takes all.
        count: Number of pairs.
        frames: Number of frames of a window.
        device: Device of the policy.
    """

    checkpoint: PathText
    data: PathText
    out: PathText | None = None
    metric: str = "forward"
    pairs: str = "other"
    changes: tuple[str, ...] = ()
    count: Count = 16
    frames: Annotated[Count, Field(le=1024)] = 16
    device: str = "auto"


@settings
class SubspaceConfig:
    """Settings of `basalt probe subspace`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on, of which others count as held out; or of twins.
        out: JSON file for the report; None writes nothing.
        head: The head, `blocks.BLOCK.HEAD`.
        ranks: Numbers of axes that are kept.
        metric: What is watched: a metric of `basalt probe patch`. For a button, windows with and without it are the classes.
        pairs: What the axes are tried on besides: the other windows of pairs, as for `basalt probe patch`.
        changes: Changes of the twins that are used; empty takes all.
        count: Number of windows; the axes are those of half of the episodes.
        frames: Number of frames of a window.
        seed: Seed of the split and of the random axes.
        device: Device of the policy.
    """

    checkpoint: PathText
    data: PathText
    out: PathText | None = None
    head: str = "blocks.0.0"
    ranks: Annotated[tuple[Natural, ...], Field(min_length=1)] = (0, 1, 2, 3, 4, 8)
    metric: str = "forward"
    pairs: str = "other"
    changes: tuple[str, ...] = ()
    count: Count = 64
    frames: Annotated[Count, Field(le=1024)] = 16
    seed: Natural = 0
    device: str = "auto"


@settings
class ElicitConfig:
    """Settings of `basalt probe elicit`.

    Attributes:
        checkpoint: Folder of a training run, or of one of its checkpoints.
        data: Folder with the recordings it was trained on, of which others count as held out; or of twins.
        out: JSON file for the report; None writes nothing.
        pairs: Contrast pairs: `mirror` (windows before a turn and their mirror images) or `twins` (a play and the same play in
            a changed world; `data` is a folder of `basalt probe twins`).
        changes: Changes of the twins that are used; empty takes all.
        site: Name of the hook point.
        count: Largest number of pairs.
        frames: Number of frames of a window.
        seed: Seed of the split, of the planted distractors and of the fits.
        device: Device of the policy.
    """

    checkpoint: PathText
    data: PathText
    out: PathText | None = None
    pairs: str = "mirror"
    changes: tuple[str, ...] = ()
    site: str = "lastlayer"
    count: Count = 256
    frames: Annotated[Count, Field(le=1024)] = 8
    seed: Natural = 0
    device: str = "auto"


@settings
class GrokConfig:
    """Settings of `basalt probe grok`. The defaults are of the small network; numbers of pairs are of 1431 unordered ones.

    Attributes:
        out: Folder of the runs. The same command resumes an interrupted one; other seeds and sizes extend it.
        network: `small` (summed embeddings and a ReLU layer) or `transformer` (one layer of attention and MLP; slow).
        p: Modulus.
        seeds: Seeds of the order of pairs and of the weights.
        steps: Number of steps of each training; 2.5 times as many for `scratch`.
        lr: Step size.
        weight_decay: Weight decay.
        memorise: Numbers of pairs with random answers.
        generalise: Numbers of pairs from which a network generalises.
        scratch: Numbers of pairs near the critical one.
        source: The one of `generalise` whose network is trained on with fewer pairs.
        ungrok: Numbers of pairs with which it is trained on.
        decays: Weight decays of `ungrok`, as factors.
    """

    out: PathText = "runs/grok"
    network: str = "small"
    p: Annotated[Count, Field(ge=3)] = 53
    seeds: Annotated[tuple[Natural, ...], Field(min_length=1)] = (0, 1, 2)
    steps: Count = 4000
    lr: Positive = 3e-3
    weight_decay: Positive = 1.0
    memorise: tuple[Count, ...] = (200, 350, 500, 700, 900)
    generalise: tuple[Count, ...] = (900, 1100, 1300)
    scratch: tuple[Count, ...] = (430, 500, 570)
    source: Count = 1100
    ungrok: tuple[Count, ...] = (150, 300, 450, 600, 750, 900)
    decays: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)


@settings
class RemovalConfig:
    """Settings of `basalt probe removal`.

    Attributes:
        suite: Folder of a suite, which `basalt probe scope` wrote.
        out: JSON file for the report; None writes nothing.
        site: Name of the hook point.
        saes: Names of autoencoders in it, such as `gated-w512-l08`; empty takes all.
        features: Numbers of features that are removed.
        pairs: Pairs TARGET:SPURIOUS of concepts that a probe may mix up.
        frames: Number of frames of each split.
        seed: Seed of the choice of frames and of the random directions.
    """

    suite: PathText = "runs/scope"
    out: PathText | None = None
    site: str = "lastlayer"
    saes: tuple[str, ...] = ()
    features: Annotated[tuple[Count, ...], Field(min_length=1)] = (2, 5, 10, 20, 50)
    pairs: tuple[str, ...] = ("in_cave:dark", "dark:in_cave")
    frames: Count = 16_384
    seed: Natural = 0
