"""Training: what is done (`config.py`), how (`loop.py`), and what is kept of it (`run_folder.py`)."""
