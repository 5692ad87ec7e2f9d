"""Settings of the steering vector."""

from agents.preferences.config import ContrastConfig
from basalt.core.settings import Count, Positive, settings


@settings
class SteerVectorConfig(ContrastConfig):
    """Settings of learning one vector at the hook point `embed` of a frozen policy, by the loss of `agent=cpl form=reference`.

    After Preference Goal Tuning (2024, arXiv 2412.02125), which trains the goal latent of a goal-conditioned policy. VPT has
    no goal, so the vector is added to each encoded frame, and acts through the memory too.
    """

    steps: Count = 200
    batch_size: Count = 8
    lr: Positive = 1e-2
