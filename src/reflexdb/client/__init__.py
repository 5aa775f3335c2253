"""The Python client of the control plane; speaks HTTP only."""
