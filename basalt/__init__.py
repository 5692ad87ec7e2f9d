"""BASALT: tasks without a reward function, agents that learn from people, and how to rank them."""

__version__ = "0.1.0"
