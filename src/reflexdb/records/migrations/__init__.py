"""How an older metadata database becomes the present one: one revision per file, never edited after its release."""
