"""Tests of what people ask for by law."""
