"""Sparse autoencoders: six ways to train one, one function afterwards.

Each architecture is a file of its own; `training` is the loop, `model` what remains, `files` its form on
disk.
"""

from basalt.probes.sae.config import ARCHITECTURES, SAEConfig
from basalt.probes.sae.files import load_sae, save_sae
from basalt.probes.sae.model import SAE
from basalt.probes.sae.training import Trainer, train_sae, train_saes

__all__ = [
    "ARCHITECTURES",
    "SAE",
    "SAEConfig",
    "Trainer",
    "load_sae",
    "save_sae",
    "train_sae",
    "train_saes",
]
