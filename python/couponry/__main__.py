"""`python -m couponry` is the `couponry` command."""

from couponry.cli import main

if __name__ == "__main__":
    main()
