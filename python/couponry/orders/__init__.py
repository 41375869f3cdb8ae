"""Orders: their coupons locked, used, released and returned, and the ledger of what was taken off."""
