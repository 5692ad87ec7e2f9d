"""Plays a policy that was trained by advantage-weighted regression."""

from agents.bc.agent import BCAgent


class AWRAgent(BCAgent):
    """Plays a checkpoint of `basalt train agent=awr` as `agents.bc.agent.BCAgent` does; only the name differs."""

    name = "awr"
