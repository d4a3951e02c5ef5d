"""Training: its settings (`config.py`), the loop (`loop.py`) and its results on disk (`run_folder.py`)."""
