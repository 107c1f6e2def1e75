"""The one door: every verified delivery is recorded as it came, then claimed and worked."""
