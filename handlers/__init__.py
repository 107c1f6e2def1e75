"""Decides and does: one folder a capability, resting on the spine."""
