"""Chooses and wires; decides nothing. Read topics.py, routes.py and schedule.py first."""
