"""Plays a policy that was trained by contrastive preference learning."""

from agents.bc.agent import BCAgent


class CPLAgent(BCAgent):
    """Plays a checkpoint of `basalt train agent=cpl` as `agents.bc.agent.BCAgent` does; only the name differs."""

    name = "cpl"
