"""`python -m depthkit` is the command `depthkit`, for `accelerate launch -m depthkit train ...`."""

from depthkit.cli import main

if __name__ == "__main__":
    main()
