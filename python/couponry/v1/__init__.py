"""The wire contract of couponry.v1. Made by `make proto`; the sources are in proto/."""
