"""Faults staged against the running program: nothing acknowledged is lost, nothing counts twice."""
