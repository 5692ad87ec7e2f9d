"""Settings of DAgger."""

from typing import Annotated, Any

from pydantic import Field

from agents.bc.config import MAY_CHANGE as BC_MAY_CHANGE
from agents.bc.config import TrainConfig
from basalt.core.settings import Count, Float, Int, Positive, settings
from basalt.core.tasks import TRAIN_SEEDS

MAY_CHANGE = frozenset({*BC_MAY_CHANGE - {"steps", "out"}, "rounds", "jobs"})
"""Settings that may differ when a run is resumed: they change nothing learned, or only how far. Not `out`, since a round's
run names the folders of the rounds before."""


@settings
class DaggerConfig(TrainConfig):
    """Settings of DAgger (Ross et al. 2011, arXiv 1011.0686): those of behavioural cloning, and of its rounds.

    Round 0 clones the demonstrations in `data`, from the weights in `init` if there are any. Each further round lets the policy of the round before play, records
    what the demonstrator's script would have done in every state, and trains on all recordings so far, from the
    weights of the round before. The label is never executed. Since the worlds grow with each round, a world that a
    round holds out may have been trained on by an earlier one: choose by playing, not by the held-out loss.

    Attributes:
        rounds: Number of rounds after round 0.
        episodes: Number of episodes that the policy plays in a round, each on a seed of its own.
        first_seed: First of these seeds, from 100000 to 199999 (train).
        max_steps: Number of steps after which an episode is cut.
        round_steps: Number of optimizer steps of each round after round 0, which has `steps`.
        temperature: Divisor of the logits that the policy's actions are sampled from when it plays.
        top_p: Share of the probability that they are sampled from, as in `agent.top_p`. Where one wrong action spoils an episode, a
            smaller share makes the policy reach, and the script label, more of it.
        jobs: Number of processes that play, each with a world of its own.
        world_name: Name of the world.
        world_args: Further arguments of its environment, as in `world.args`: {render_every: 1}; null for none.
    """

    rounds: Count = 3
    episodes: Count = 20
    first_seed: Annotated[Int, Field(ge=TRAIN_SEEDS.start, lt=TRAIN_SEEDS.stop)] = 150_000
    max_steps: Count = 1_800
    round_steps: Count = 120
    temperature: Positive = 1.0
    top_p: Annotated[Float, Field(gt=0, le=1)] = 1.0
    jobs: Count = 1
    world_name: str = "luanti"
    world_args: dict[str, Any] | None = None
