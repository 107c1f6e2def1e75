"""Tests of the doorbell and the embedded Valkey."""
