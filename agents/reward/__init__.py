"""Reward models: what people or teachers prefer, as a score of each step, over the frozen latents of a policy."""

from agents.common.registry import Part

PART = Part(config="agents.reward.config:RewardConfig", train="agents.reward.train:train")
