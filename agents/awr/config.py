"""Settings of advantage-weighted regression."""

from typing import Annotated

from pydantic import Field

from agents.preferences.config import NEEDS_REWARD, ImproveConfig
from basalt.core.settings import Count, PathText, Positive, settings
from basalt.io.errors import ConfigError


@settings
class AWRConfig(ImproveConfig):
    """Settings of advantage-weighted regression (Peng et al. 2019, arXiv 1910.00177) of a policy's heads, on frozen latents.

    Attributes:
        reward: Run of `basalt train agent=reward`.
        horizon: Number of steps ahead over which the reward of a step counts: 40 are two seconds.
        temperature: Divisor of the advantages, which have unit variance. Large ones imitate all steps alike.
        largest_weight: Largest weight of a step, before the weights are scaled to a mean of 1.
        pessimism: Number of standard deviations over the ensemble that are taken off the reward of a step.
    """

    reward: PathText = ""
    horizon: Count = 40
    temperature: Positive = 1.0
    largest_weight: Positive = 20.0
    pessimism: Annotated[float, Field(ge=0)] = 0.0

    def __post_init__(self) -> None:
        if not self.reward:
            raise ConfigError(NEEDS_REWARD)
