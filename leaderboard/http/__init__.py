"""The leaderboard over HTTP."""
