"""`python -m reflexdb` is the console command `reflexdb`."""

from reflexdb.cli.main import main

main()
