"""Plays the states of a machine: a cloned walker and scripts, switched by what heads say about the frames."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from agents.hybrid.checkpoint import load_hybrid
from agents.hybrid.machine import WALKER, MachineRun
from agents.hybrid.scripts import SCRIPTS, Action, Senses
from basalt.core.recording import PlayerKind
from basalt.core.settings import Float, Positive
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.checkpoint import choose_device
from basalt.policies.preprocess import resize_frames
from basalt.policies.source import fingerprint, open_policy


@dataclass
class _Episode:
    """One episode.

    Attributes:
        run: Its state machine.
        senses: What its scripts may use.
        script: Actions of the present state's script; None where a policy plays.
    """

    run: MachineRun
    senses: Senses = field(default_factory=Senses)
    script: Iterator[Action] | None = None


class HybridAgent:
    """Plays a state machine (`agents.hybrid.machine`), after GoUp and voggite of BASALT 2022.

    All policies of the machine see every frame, so that their memory is complete when they take over. It does not press
    ESC: a stopping head (`agent.stop=RUN`) ends its episodes, otherwise the step limit does.

    Args:
        checkpoint: Folder of the run, made by `basalt train agent=hybrid`.
        walker: Run of the walker, where it is no longer at the place that the checkpoint names.
        device: `auto`, `cpu`, `cuda`...
        seed: Seed of the draws of its policies.
        temperature: Divisor of the logits that they sample from.
        top_p: Share of the probability that they sample from, as in `agents.bc.agent.BCAgent`: below 1 the walker leaves rare decisive
            actions, such as pouring, to the scripts.
        heads: Whether the heads are used; without them, as an ablation, no condition is ever met.
        scripts: Whether scripts play; without them, as an ablation, the walker plays in their states, so there has to be one.
        esc: `never`, or `hazard` for the ablation in which ESC is drawn as the walker gives it.
    """

    name = "hybrid"
    kind: PlayerKind = "agent"

    def __init__(
        self,
        checkpoint: str | Path | None,
        walker: str | Path | None = None,
        device: str = "auto",
        seed: int = 0,
        temperature: Positive = 1.0,
        top_p: Annotated[Float, Field(gt=0, le=1)] = 1.0,
        heads: bool = True,
        scripts: bool = True,
        esc: Literal["never", "hazard"] = "never",
    ) -> None:
        if checkpoint is None:
            raise ConfigError("checkpoint: expected the run to play; give checkpoint=FOLDER")
        place = choose_device(device)
        self._heads, self.info = load_hybrid(checkpoint, place)
        own = self.info.encoder is not None
        self._trunk = None if own else open_policy(self.info.trunk, place, "checkpoint")
        if self._trunk and fingerprint(self._trunk) != self.info.trunk_fingerprint:
            raise ConfigError(
                f"checkpoint: {self.info.trunk} is no longer the policy whose latents the heads of {checkpoint} read; "
                "restore it, or train the hybrid agent again"
            )
        self._players = {
            policy: run.player(
                walker if policy == WALKER else None,
                "agent.walker" if policy == WALKER else "checkpoint",
                device=device,
                seed=seed,
                temperature=temperature,
                top_p=top_p,
                esc=esc,
            )
            for policy, run in self.info.runs.items()
        }
        if walker is not None and WALKER not in self._players:
            raise ConfigError(f"agent.walker: expected none, since {checkpoint} has no walker")
        if not scripts and WALKER not in self._players:
            raise ConfigError(
                f"agent.scripts: expected true, since {checkpoint} has no walker to play in the states of its scripts"
            )
        self.esc = esc
        self._uses_heads, self._uses_scripts = heads, scripts
        self._episodes: list[_Episode] = []
        self._state: PolicyState | None = None

    @property
    def decides_esc(self) -> bool:
        """Whether it presses ESC itself."""
        return self.esc == "hazard"

    @torch.no_grad()
    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[Action]:
        """One environment action per episode; see `basalt.core.agent.Agent.act`.

        Raises:
            ConfigError: The number of episodes changed while some were running.
        """
        probabilities = self._probabilities(pov, first)
        played = {policy: player.act(pov, first) for policy, player in self._players.items()}
        actions = []
        for row in range(len(pov)):
            if first[row]:
                self._episodes[row] = _Episode(MachineRun(self.info.machine))
            episode = self._episodes[row]
            episode.senses.probability = probabilities[row]
            episode.senses.see(pov[row])
            choices = {policy: action[row] for policy, action in played.items()}
            action = self._action(episode, choices)
            episode.senses.advance(action)
            actions.append(action)
        return actions

    def _probabilities(
        self, pov: NDArray[np.uint8], first: NDArray[np.bool_]
    ) -> list[dict[str, float]]:
        """Probability by each head, for each episode."""
        if len(self._episodes) != len(pov):
            if not np.all(first):
                raise ConfigError(
                    f"act: expected all {len(pov)} episodes to begin, since the agent has the memory of "
                    f"{len(self._episodes)}; set first for each"
                )
            self._state = None if self._trunk is None else self._trunk.initial_state(len(pov))
            self._episodes = [_Episode(MachineRun(self.info.machine)) for _ in pov]
        latents = self._latents(pov, first)
        if not self._uses_heads:
            return [{} for _ in pov]
        found = self._heads.probabilities(latents).tolist()
        return [dict(zip(self.info.heads, row, strict=True)) for row in found]

    def _latents(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> Tensor:
        """Latents of the frames, [episodes, width]."""
        if self._trunk is None:
            assert self.info.encoder is not None
            frames = resize_frames(pov, self.info.encoder.frame_size)
            return self._heads.encode(torch.from_numpy(frames))
        assert self._state is not None
        device = self._trunk.device
        img = torch.from_numpy(resize_frames(pov, self._trunk.config.frame_size))
        begins = torch.from_numpy(np.asarray(first, dtype=bool))
        latents, self._state = self._trunk.latents(
            img[:, None].to(device), begins[:, None].to(device), self._state
        )
        return latents[:, 0]

    def _action(self, episode: _Episode, played: Mapping[str, Mapping[str, Any]]) -> Action:
        """The action of the state that acts now."""
        episode.run.step(episode.senses.probability)
        if episode.run.steps == 1:
            self._begin(episode)
        while episode.script is not None:
            action = next(episode.script, None)
            if action is not None:
                return action
            episode.run.finish()
            self._begin(episode)
        state = self.info.machine.states[episode.run.state]
        policy = state.policy if state.policy in played else WALKER
        return {**played[policy], **dict.fromkeys(state.without, 0)}

    def _begin(self, episode: _Episode) -> None:
        """Begin the script of the state that was entered, if it has one."""
        policy = self.info.machine.states[episode.run.state].policy
        uses = policy in SCRIPTS and self._uses_scripts
        episode.script = SCRIPTS[policy].play(episode.senses) if uses else None
