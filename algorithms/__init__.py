"""What is computed: packed networks, the critic loss with its floor, floors and returns."""
