"""Plays by following demonstrations whose latents resemble what it sees."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.search.follow import Follower, FollowRule
from agents.search.index import open_index
from agents.search.pack import BESIDE
from agents.search.pitch import Pitch
from agents.search.still import Stillness
from agents.search.train import INDEX
from basalt.core.actions import indices_to_env
from basalt.core.published import local_copy
from basalt.core.recording import PlayerKind
from basalt.core.tasks import STEPS_PER_SECOND
from basalt.io.errors import ConfigError
from basalt.policies.attention import PolicyState
from basalt.policies.checkpoint import choose_device
from basalt.policies.preprocess import resize_frames
from basalt.policies.source import fingerprint, open_policy


class SearchAgent:
    """Follows the demonstration whose latent is nearest, until it no longer fits; see `agents.search.follow`.

    It never presses ESC: where a demonstration ended says little about whether this episode is done. A stopping head
    (`agent.stop=RUN`) ends its episodes, otherwise the step limit does.

    Args:
        checkpoint: Folder of the run, made by `basalt train agent=search`, or an address of a packed one.
        policy: Policy that embeds the frames, where it is no longer at the place that the index names.
        device: `auto`, `cpu`, `cuda`...
        longest: Number of steps after which a demonstration is given up.
        shortest: Number of steps before which it is not given up because of its distance.
        ratio: A demonstration diverges at this many times its distance at the match.
        patience: Number of diverging steps after which it is given up.
        candidates: Number of frames that a search ranks on the full latents.
        follow_pitch: Whether to look up and down as the demonstration did, instead of turning by as much.
        still: Number of frames after which a player that no longer moves turns away; 0: it never does. See
            `agents.search.still`.
    """

    name = "search"
    kind: PlayerKind = "agent"
    decides_esc = False

    def __init__(
        self,
        checkpoint: str | Path | None,
        policy: str | Path | None = None,
        device: str = "auto",
        longest: int = 128,
        shortest: int = 8,
        ratio: float = 2.0,
        patience: int = 8,
        candidates: int = 50,
        follow_pitch: bool = True,
        still: int = 40,
    ) -> None:
        if checkpoint is None:
            raise ConfigError("checkpoint: expected the run to play; give checkpoint=FOLDER")
        run = local_copy(checkpoint)
        self.index = open_index(run / INDEX)
        made = self.index.facts
        if not {"policy", "fingerprint"} <= made.keys():
            raise ConfigError(
                f"{checkpoint}: expected an index that names its policy; make it by basalt train agent=search"
            )
        beside = run / BESIDE if made["policy"] == BESIDE else str(made["policy"])
        source = policy or beside
        self.policy = open_policy(source, choose_device(device), "agent.policy")
        if fingerprint(self.policy) != made["fingerprint"]:
            raise ConfigError(
                f"agent.policy: {source} is not the policy that embedded the demonstrations of {checkpoint}; give "
                "that one, or embed and index them again"
            )
        self._rule = FollowRule(
            longest=longest,
            shortest=shortest,
            ratio=ratio,
            # What the same episode looks like a second later is near enough.
            floor=self.index.typical_distance(STEPS_PER_SECOND, 95),
            patience=patience,
            candidates=candidates,
        )
        self._follow_pitch = follow_pitch
        self._followers: list[Follower] = []
        self._pitches: list[Pitch] = []
        self._still = still
        self._stillness: list[Stillness] = []
        self._state: PolicyState | None = None

    @torch.no_grad()
    def act(self, pov: NDArray[np.uint8], first: NDArray[np.bool_]) -> list[dict[str, Any]]:
        """One environment action per episode; see `basalt.core.agent.Agent.act`.

        Raises:
            ConfigError: The number of episodes changed while some were running.
        """
        if self._state is None or len(self._followers) != len(pov):
            if not np.all(first):
                raise ConfigError(
                    f"act: expected all {len(pov)} episodes to begin, since the agent has the memory of "
                    f"{len(self._followers)}; set first for each"
                )
            self._state = self.policy.initial_state(len(pov))
            self._followers = [Follower(self.index, self._rule) for _ in pov]
            self._pitches = [Pitch() for _ in pov]
            self._stillness = [Stillness(self._still) for _ in pov]
        device = self.policy.device
        seen = resize_frames(pov, self.policy.config.frame_size)
        img = torch.from_numpy(seen)
        begins = torch.from_numpy(np.asarray(first, dtype=bool))
        latents, self._state = self.policy.latents(
            img[:, None].to(device), begins[:, None].to(device), self._state
        )
        frames = []
        for row, (follower, latent) in enumerate(
            zip(self._followers, latents[:, 0].cpu(), strict=True)
        ):
            if first[row]:
                follower.begin()
                self._pitches[row] = Pitch()
                self._stillness[row].begin()
            stuck = self._stillness[row].step(seen[row])
            frames.append(follower.step(latent.float().numpy(), stuck))
        actions = indices_to_env(self.index.buttons[frames], self.index.camera[frames])
        steps = [actions.step(row) for row in range(len(pov))]
        if not self._follow_pitch:
            return steps
        return [
            pitch.follow(action, float(self.index.pitch[frame]))
            for pitch, action, frame in zip(self._pitches, steps, frames, strict=True)
        ]
