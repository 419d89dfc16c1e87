"""The status of runs, the verification of finished ones, and checks of this machine."""
