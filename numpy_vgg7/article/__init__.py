"""The article's experiment: its protocol, its order of summation, and better training for its network."""

SEED, EPOCHS = 5678, 150
