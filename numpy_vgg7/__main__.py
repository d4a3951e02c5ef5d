"""python -m numpy_vgg7"""

from numpy_vgg7.cli import main

if __name__ == "__main__":
    main()
