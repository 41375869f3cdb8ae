"""Coupons and flash sales over gRPC."""
