"""Settings of the training of a hybrid agent."""

from typing import Annotated

from pydantic import Field

from basalt.core.settings import Count, Float, Natural, Paths, PathText, Positive, settings


@settings
class HybridConfig:
    """Settings of one training run of a hybrid agent.

    Its heads are trained and its thresholds chosen at once, in minutes; what takes long are the latents, or the encoder of
    the heads' own, which stay in the folder of the run. So the same command with another `machine=` or `tune=` soon makes the agent again.

    Attributes:
        out: Folder of the run. The same command resumes an interrupted run.
        task: Task whose recordings to learn from.
        data: Folder of recordings with telemetry, or `sample`.
        rollouts: Folders of further recordings, such as rollouts of the walker on training or development seeds. Heads
            that have seen only demonstrations are wrong where no demonstrator ever was.
        walker: Run of `bc`, `dagger` or `search` that plays in states with `policy: walker`; "" where the machine has none. It
            has to stay where it is.
        trunk: Policy whose frozen latents the heads read: a run, a `.weights` file or a published name; "" is the
            walker's. It has to stay where it is.
        encoder_steps: Steps for which an image encoder of the heads' own is trained with them, one frame at a time; 0 leaves
            them to the latents of the trunk, which keep little of what decides none of its actions.
        machine: YAML file of the state machine; "" is the task's default in `configs/hybrid/`.
        tune: Folders of recordings on development or training seeds, such as rollouts of the walker, on which the
            thresholds are chosen; none takes the held-out episodes of the data.
        false_alarm_cost: Number of missed events that one false alarm costs when a threshold is chosen.
        heads: Names of heads to train besides those that the machine uses; see `agents.hybrid.labels`.
        components: Number of principal components of the trunk's latents that the heads read.
        hidden: Width of the hidden layer of heads on the trunk's latents; 0 is logistic regression.
        weight_decay: L2 penalty on the weights of heads on the trunk's latents.
        held_out: Share of the (task, seed) groups that are held out for the report.
        cache_gb: Largest size, in gigabytes, of the decoded frames that the heads' own encoder reads, kept on disk.
        batch_size: Number of plays per batch while the trunk's latents are computed.
        workers: Number of decoding processes.
        seed: Seed of the weights and the split.
        device: `auto`, `cpu`, `cuda`...
        progress: Whether to show progress bars on a terminal.
    """

    out: PathText
    walker: PathText = ""
    task: str = "find_cave"
    data: PathText = "sample"
    rollouts: Paths = ()
    trunk: PathText = ""
    encoder_steps: Natural = 0
    machine: PathText = ""
    tune: Paths = ()
    false_alarm_cost: Positive = 1.0
    heads: tuple[str, ...] = ()
    components: Count = 64
    hidden: Natural = 0
    weight_decay: Annotated[Float, Field(ge=0)] = 1e-3
    held_out: Annotated[Float, Field(gt=0, lt=1)] = 0.3
    cache_gb: Annotated[Float, Field(ge=0)] = 8.0
    batch_size: Count = 16
    workers: Natural = 1
    seed: Natural = 0
    device: str = "auto"
    progress: bool = True
