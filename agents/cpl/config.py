"""Settings of contrastive preference learning."""

from typing import Annotated, Literal

from pydantic import Field

from agents.preferences.config import ContrastConfig
from basalt.core.settings import Float, settings


@settings
class CPLConfig(ContrastConfig):
    """Settings of contrastive preference learning of a policy's heads, on its own frozen latents.

    Attributes:
        form: What a clip's score sums: `reference`, the log-probability relative to `init` (DPO, CPL-KL); or `plain`, the
            log-probability itself, as in the paper. With thousands of actions, `plain` prefers clips that are easy to predict
            before it has learned anything.
        clone: Weight of imitating the winners.
    """

    form: Literal["reference", "plain"] = "reference"
    clone: Annotated[Float, Field(ge=0)] = 0.0
