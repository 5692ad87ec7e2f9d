"""Agents are found by name, and a mistake is answered with the way out."""

import subprocess
import sys

import pytest

from agents.common.registry import AGENTS, algorithm, make_agent
from agents.random.agent import RandomAgent
from basalt.core.registry import load
from basalt.io.errors import ConfigError


def test_makes_an_agent_with_its_settings() -> None:
    agent = make_agent("random", seed=3, steps=4)
    assert isinstance(agent, RandomAgent)
    assert agent.name == "random"


def test_names_the_closest_agent() -> None:
    with pytest.raises(ConfigError, match="unknown agent 'randm'; did you mean 'random'"):
        make_agent("randm")


def test_names_a_wrong_setting() -> None:
    with pytest.raises(
        ConfigError,
        match=r"agent\.stepz: .*did you mean 'agent\.steps'\?.*agent\.seed, agent\.steps",
    ):
        make_agent("random", stepz=4)
    with pytest.raises(ConfigError, match=r"agent\.stop: expected text, got 5"):
        make_agent("noop", stop=5)
    with pytest.raises(ConfigError, match=r"agent\.checkpoint: expected a value"):
        make_agent("bc")


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_every_name_leads_to_a_class(name: str) -> None:
    assert isinstance(load(algorithm(name).agent), type)


def test_looking_for_an_agent_needs_no_torch() -> None:
    code = "import sys, agents.common.registry as r; r.make_agent('random'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["rollout", "record"])
def test_only_the_agent_that_plays_is_imported(command: str) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from basalt.cli.main import run; "
        f"sys.exit(run(['{command}', 'seeds=100000', '--cfg', 'job']))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    bc = code.replace("'seeds=100000'", "'agent=bc', 'seeds=100000'")
    failed = subprocess.run([sys.executable, "-c", bc], capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"basalt {command}: missing dependency 'torch'")
    assert "basalt-benchmark[train]" in failed.stderr
