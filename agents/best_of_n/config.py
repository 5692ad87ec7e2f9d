"""Settings of best of n."""

from typing import Annotated

from pydantic import Field

from agents.preferences.config import NEEDS_REWARD, CloneConfig
from basalt.core.settings import PathText, settings
from basalt.io.errors import ConfigError


@settings
class BestOfNConfig(CloneConfig):
    """Settings of best of n: of cloning, and of the choice.

    Attributes:
        reward: Run of `basalt train agent=reward`.
        n: Number of episodes of each seed that are compared, the first in the order of the folders; seeds with fewer are
            left out.
        pessimism: Number of standard deviations over the ensemble that are taken off the reward of a step.
    """

    reward: PathText = ""
    n: Annotated[int, Field(ge=2, le=10_000)] = 4
    pessimism: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if not self.reward:
            raise ConfigError(NEEDS_REWARD)
