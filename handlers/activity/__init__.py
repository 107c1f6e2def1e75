"""What happened: events and their fate, what was recovered, who changed what, who looked at whose data."""
