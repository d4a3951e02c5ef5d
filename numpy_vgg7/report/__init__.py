"""The report of a training and the comparison of several, as self-contained HTML pages. Needs matplotlib."""
