"""Private database servers for tests: started on a free port in a directory of their own, shared by all workers,
never left behind.
"""
