"""Plays a policy that was cloned from its best episodes."""

from agents.bc.agent import BCAgent


class BestOfNAgent(BCAgent):
    """Plays a checkpoint of `basalt train agent=best_of_n` as `agents.bc.agent.BCAgent` does; only the name differs."""

    name = "best_of_n"
