"""The programme page: settings in plain words, what a change means before it takes effect, and what-if."""
