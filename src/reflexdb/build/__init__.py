"""From a source's schema to an image, as a chain of small passes over a frozen plan."""
