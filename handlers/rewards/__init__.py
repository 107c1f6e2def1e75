"""Rewards: what points are spent on, asked of the platform, and given back where they go unused."""
