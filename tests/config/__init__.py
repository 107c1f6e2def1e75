"""Tests of what is chosen and wired."""
