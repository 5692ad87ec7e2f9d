"""The stages, in the order of the programme."""

from basalt.safety.stages.cues import CUES
from basalt.safety.stages.deception import DECEPTION
from basalt.safety.stages.exploration import EXPLORATION
from basalt.safety.stages.harm import HARM
from basalt.safety.stages.interruption import INTERRUPTION
from basalt.safety.stages.sandbagging import SANDBAGGING

STAGES = {
    stage.name: stage for stage in (HARM, DECEPTION, SANDBAGGING, CUES, INTERRUPTION, EXPLORATION)
}
