"""The host-side controller of Nightlab. Read `lab/overnight.py` first."""
