"""``python -m cli``: the command where no console script is installed."""

from cli import main

main()
