"""The earning capability: points for occasions beside purchases, each given once."""
