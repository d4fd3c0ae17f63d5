"""``python -m sepray`` is the command ``sepray``."""

from .cli.main import main

if __name__ == "__main__":
    main()
