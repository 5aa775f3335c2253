"""The HTTP surface of the control plane: one module per resource. Decides nothing."""
