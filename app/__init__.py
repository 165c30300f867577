"""The query service and the kernel that all share."""
