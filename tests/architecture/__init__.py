"""Tests of how the code is laid out, read from its syntax."""
