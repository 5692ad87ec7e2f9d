"""Plays a policy that was trained by filtered behavioural cloning."""

from agents.bc.agent import BCAgent


class FilteredBCAgent(BCAgent):
    """Plays a checkpoint of `basalt train agent=filtered_bc` as `agents.bc.agent.BCAgent` does; only the name differs."""

    name = "filtered_bc"
