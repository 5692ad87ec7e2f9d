"""OpenAI's published VPT models and the addresses of their files. Licence: MIT (openai/Video-Pre-Training)."""

from dataclasses import dataclass
from pathlib import Path

from basalt.core.registry import did_you_mean
from basalt.io.errors import ConfigError
from basalt.io.paths import cache_dir

MODELS_FOLDER = "https://openaipublic.blob.core.windows.net/minecraft-rl/"


@dataclass(frozen=True)
class Published:
    """One published model: its two files, as paths below `MODELS_FOLDER`.

    Attributes:
        model: File of settings; several weights share one.
        weights: File of parameters.
    """

    model: str
    weights: str

    @property
    def paths(self) -> tuple[str, str]:
        """Both files."""
        return self.model, self.weights


_MODEL_OF_SIZE = {
    "1x": "models/foundation-model-1x.model",
    "2x": "models/2x.model",
    "3x": "models/foundation-model-3x.model",
}


def _policy(weights: str, size: str) -> Published:
    return Published(_MODEL_OF_SIZE[size], f"models/{weights}.weights")


PUBLISHED: dict[str, Published] = {
    **{f"foundation-{size}": _policy(f"foundation-model-{size}", size) for size in _MODEL_OF_SIZE},
    "bc-house-3x": _policy("bc-house-3x", "3x"),
    "bc-early-game-2x": _policy("bc-early-game-2x", "2x"),
    "bc-early-game-3x": _policy("bc-early-game-3x", "3x"),
    "rl-from-foundation-2x": _policy("rl-from-foundation-2x", "2x"),
    "rl-from-house-2x": _policy("rl-from-house-2x", "2x"),
    "rl-from-early-game-2x": _policy("rl-from-early-game-2x", "2x"),
    "idm": Published("idm/4x_idm.model", "idm/4x_idm.weights"),
}
"""Published models by name; `idm` is the inverse dynamics model, the others are policies."""


def policies_dir() -> Path:
    """Default folder of published files."""
    return cache_dir() / "policies"


def published(name: str) -> Published:
    """The published model of that name.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in PUBLISHED:
        raise ConfigError(
            f"policy: unknown name {name!r}; {did_you_mean(name, PUBLISHED)}"
            f"available: {', '.join(PUBLISHED)}"
        )
    return PUBLISHED[name]
