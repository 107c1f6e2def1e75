"""Bad input, and the answer each kind of it gets from the running program."""
