"""`python -m basalt.cli`, for programs that start Python modules, such as torchrun."""

from basalt.cli.main import main

main()
