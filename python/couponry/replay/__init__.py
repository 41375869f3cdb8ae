"""Pricing a history of carts under a draft campaign, to see what it would cost before anybody holds a coupon.

`couponry replay` is the command (docs/replay.md has its files and its report); every price is the calculator's.
"""
