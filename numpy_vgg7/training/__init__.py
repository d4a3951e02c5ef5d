"""Training: what is done (`recipe.py`), how (`loop.py`), and what is kept of it (`run_folder.py`)."""
