"""python -m numpy_vgg7"""

import sys

try:
    from numpy_vgg7.cli import main
except KeyboardInterrupt:  # before `main` handles it
    sys.exit(130)

if __name__ == "__main__":
    main()
