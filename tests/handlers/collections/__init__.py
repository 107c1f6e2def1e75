"""Tests of the collections that campaigns name."""
