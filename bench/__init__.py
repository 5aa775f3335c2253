"""The same work on this and on what people use today, in one run on one machine; `make bench`."""
