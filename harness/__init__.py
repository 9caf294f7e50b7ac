"""The frozen side of Nightlab: what is inside the image, hashed, and never imports `lab`."""
