"""Plays a policy that was trained by proximal policy optimisation."""

from agents.bc.agent import BCAgent


class PPOAgent(BCAgent):
    """Plays a checkpoint of `basalt train agent=ppo` as `agents.bc.agent.BCAgent` does; only the name differs."""

    name = "ppo"
