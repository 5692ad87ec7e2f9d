"""The stopping head: when an agent presses ESC. A part of other agents, which they use by `agent.stop=RUN`."""

from agents.common.registry import Part

PART = Part(config="agents.ending.config:EndingConfig", train="agents.ending.train:train")
