"""Circuits: how much of a choice a few nodes carry, and what each part writes to it directly."""
