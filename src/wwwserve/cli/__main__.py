"""`python -m wwwserve.cli`: the same command, where the script is not on the path."""

from wwwserve.cli import main

main()
