"""Backfill: a shop's history before Regulars, awarded as one run that can be taken back."""
