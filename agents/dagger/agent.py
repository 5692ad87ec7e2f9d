"""Plays a policy that was trained by DAgger."""

from agents.bc.agent import BCAgent


class DaggerAgent(BCAgent):
    """Plays a checkpoint of `basalt train agent=dagger` as `agents.bc.agent.BCAgent` does; only the name differs."""

    name = "dagger"
