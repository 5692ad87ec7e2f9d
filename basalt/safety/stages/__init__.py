"""The stages, in the order of the programme."""

from basalt.safety.stages.exploration import EXPLORATION
from basalt.safety.stages.harm import HARM

STAGES = {stage.name: stage for stage in (HARM, EXPLORATION)}
