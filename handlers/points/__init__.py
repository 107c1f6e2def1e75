"""Points: earning rules, the append-only ledger, balances, and why a sale earned what it did."""
