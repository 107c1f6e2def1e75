"""Tests of the programme page."""
