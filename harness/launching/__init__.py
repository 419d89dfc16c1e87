"""Plan runs, cut them into packs and train them in worker processes of this machine."""
