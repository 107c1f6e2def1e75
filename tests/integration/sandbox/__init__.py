"""The pretend platforms and the mailbox keep the real protocols, checked from outside."""
