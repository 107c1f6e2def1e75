"""Any interleaving, repetition and batching of the same deliveries comes to the same end: the oracle's."""
