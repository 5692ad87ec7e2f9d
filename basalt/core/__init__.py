"""The contracts: tasks, actions, telemetry, scoring, recordings, comparisons, agents."""
