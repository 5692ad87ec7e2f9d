"""The checkpoint of a hybrid agent: its heads, its machine with thresholds, and which policies it plays."""

from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict

from agents.common.identity import identify
from agents.common.registry import algorithm, make_agent, parameters
from agents.hybrid.heads import LatentHeads
from agents.hybrid.machine import WALKER, Machine
from agents.hybrid.scripts import SCRIPTS
from basalt.core.agent import Agent
from basalt.core.records import Record
from basalt.core.registry import load
from basalt.io.claims import read_claim
from basalt.io.errors import ConfigError
from basalt.policies.checkpoint import find_checkpoint, load_network
from basalt.policies.config import VPTConfig

PLAYERS = ("bc", "dagger", "search")
"""Agents whose runs a state may play."""


class PlayedRun(BaseModel):
    """A run that plays in some states.

    Attributes:
        path: Where it was.
        agent: Name of its agent.
        hash: SHA-256 of its content; see `agents.common.identity`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    agent: str
    hash: str

    @classmethod
    def of(cls, path: str | Path, setting: str) -> "PlayedRun":
        """The run in a folder.

        Args:
            path: Folder of the run, or of one of its checkpoints.
            setting: Name of the setting that gave the path, for messages.

        Raises:
            ConfigError: There is no run that plays.
        """
        place = Path(path)
        if not place.is_dir():
            raise ConfigError(f"{setting}: expected the folder of a run, got {str(path)!r}")
        claims = [folder / "config.json" for folder in (place, *place.parents[:2])]
        file = next((file for file in claims if file.is_file()), None)
        # Runs of behavioural cloning do not name their agent.
        name = "bc" if file is None else read_claim(file, "training run").get("agent", "bc")
        if name not in PLAYERS:
            raise ConfigError(
                f"{setting}: expected a run of {' or '.join(PLAYERS)}, got one of {name}: {path}"
            )
        found = identify({"name": name, "checkpoint": str(path)})
        return cls(path=str(path), agent=name, hash=found.hash)

    def player(self, path: str | Path | None, setting: str, **settings: Any) -> Agent:
        """The agent that plays it.

        Args:
            path: Where it is now; None for where it was.
            setting: Name of the setting that says where it is, for messages.
            settings: Settings of the agent; those that it does not have are left out.

        Raises:
            ConfigError: The run is missing, or is no longer the same.
        """
        place = str(path or self.path)
        if PlayedRun.of(place, setting).hash != self.hash:
            raise ConfigError(
                f"{setting}: {place} is no longer the run that the hybrid agent was made with; restore it, or train the "
                "hybrid agent again"
            )
        known = {one.name for one in parameters(load(algorithm(self.agent).agent))}
        own = {name: value for name, value in settings.items() if name in known}
        return make_agent(self.agent, checkpoint=place, **own)


def played_runs(machine: Machine, walker: str) -> dict[str, PlayedRun]:
    """The runs that a machine plays, by the policy of its states; with the walker wherever one is given.

    Raises:
        ConfigError: A policy is neither a script nor a run, or a state wants a walker and none is given.
    """
    if not walker and any(state.policy == WALKER for state in machine.states.values()):
        raise ConfigError(
            "walker: expected the run that plays in the states of the machine with `policy: walker`; give walker=RUN"
        )
    found = {WALKER: PlayedRun.of(walker, "walker")} if walker else {}
    for name, state in machine.states.items():
        if state.policy in SCRIPTS or state.policy in found:
            continue
        if not Path(state.policy).is_dir():
            raise ConfigError(
                f"machine: states.{name}.policy: expected {WALKER}, one of the scripts {', '.join(SCRIPTS)}, or the "
                f"folder of a run, got {state.policy!r}"
            )
        found[state.policy] = PlayedRun.of(state.policy, f"machine: states.{name}.policy")
    return found


class HybridCheckpoint(Record):
    """What a checkpoint of a hybrid agent is of (`checkpoint.json`).

    Attributes:
        task: Name of the task.
        trunk: Policy whose latents the heads read (`basalt.policies.source.open_policy`); "" for an encoder of their own.
        trunk_fingerprint: SHA-256 of its weights.
        encoder: Sizes of the encoder of their own; None for a trunk.
        heads: Names of the heads, in the order of their outputs.
        width: Width of the latents.
        components: Number of principal components.
        hidden: Width of the hidden layer; 0 for none.
        machine: The state machine; its thresholds are numbers.
        runs: Runs that it plays, by the policy of its states.
        train_places: Groups (`Episode.split_group`) that the heads were trained or calibrated on.
        held_out_places: Groups that they were measured on.
        tune_places: Groups that the thresholds were chosen on.
    """

    FORMAT: ClassVar[str] = "basalt-hybrid"

    task: str
    trunk: str
    trunk_fingerprint: str
    encoder: VPTConfig | None = None
    heads: tuple[str, ...]
    width: int
    components: int
    hidden: int
    machine: Machine
    runs: dict[str, PlayedRun]
    train_places: tuple[str, ...]
    held_out_places: tuple[str, ...]
    tune_places: tuple[str, ...]


def load_hybrid(path: str | Path, device: torch.device) -> tuple[LatentHeads, HybridCheckpoint]:
    """The heads of a run, in evaluation mode, and the checkpoint's facts.

    Raises:
        ConfigError: The checkpoint is missing, damaged or not one of a hybrid agent.
    """
    folder = find_checkpoint(path, command="basalt train agent=hybrid")
    try:
        info = HybridCheckpoint.read(folder / "checkpoint.json")
    except ConfigError as err:
        raise ConfigError(f"checkpoint: {err}; give a run of `basalt train agent=hybrid`") from err
    net = load_network(
        folder,
        lambda: LatentHeads(
            info.width, len(info.heads), info.components, info.hidden, info.encoder
        ),
    )
    return net.to(device).eval(), info
