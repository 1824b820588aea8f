"""`python -m worldloom`, where the command is not on the path."""

from worldloom.cli import main

main()
