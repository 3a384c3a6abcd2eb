"""`python -m tcplab`."""

from tcplab.cli import main

if __name__ == "__main__":
    main()
