"""`python -m anyturn`."""

from anyturn.cli.main import main

if __name__ == "__main__":
    main()
