"""The tiers capability: who counts as a regular, since when and for how long."""
