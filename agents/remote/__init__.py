"""The agent whose policy is in another process, Python, language or machine."""

from agents.common.registry import Algorithm

ALGORITHM = Algorithm(agent="agents.remote.agent:RemoteAgent", trained_elsewhere=True)
