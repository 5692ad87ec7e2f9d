"""Hydra's configuration files; `pkg://configs` finds them in a clone and in an installed wheel."""
