"""Helpers that several tests share: recordings, stores, servers, stand-ins."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
