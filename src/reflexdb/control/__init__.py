"""What may happen to a database and what happens next: observe, decide, act."""
