"""`reflexdb demo`: from nothing to answered queries on a sample blog, through the same doors that any user takes."""
