"""Bytes and vectors: one module an adapter."""
