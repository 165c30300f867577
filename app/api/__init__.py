"""Routers, request and response schemas, problem responses; they call use cases, never an adapter."""
