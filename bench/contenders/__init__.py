"""Those who answer the same questions from the same rows, ReflexDB among them. One module each."""
