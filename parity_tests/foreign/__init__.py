"""Two implementations that use nothing of numpy-vgg7, and mistakes to plant in them."""
